"""Recorded sagas against another definition: which of them would have gone another way, and why."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Recorded
from contracts.failure import Conflict
from saga.divergence import Divergence, diverge
from saga.state import SagaStatus, fold


@dataclass(slots=True)
class Verdict:
    """What became of so many recorded sagas: those that diverge with their differences, the first one first."""

    judged: int = 0
    diverging: dict[str, list[Divergence]] = field(default_factory=dict)
    under_way: int = 0
    cut_off: int = 0

    def reasons(self) -> list[tuple[Divergence, int, str]]:
        """The first differences, the most frequent first: one of each kind, how often, and a saga as example."""
        counts: Counter[tuple[str, str, str, str]] = Counter()
        examples: dict[tuple[str, str, str, str], tuple[Divergence, str]] = {}
        for saga_id, (first, *_) in self.diverging.items():
            what = first.what.partition("/")[0]
            # Values of inputs differ from saga to saga.
            kind = (first.step, first.what) + (("", "") if what == "input" else (first.was, first.would))
            counts[kind] += 1
            examples.setdefault(kind, (first, saga_id))
        return [(examples[kind][0], count, examples[kind][1]) for kind, count in counts.most_common()]


def judge(
    new: SagaDefinition,
    sagas: Mapping[str, Sequence[Recorded]],
    known: Callable[[str], SagaDefinition | None],
    undoable: Collection[str],
) -> Verdict:
    """Every recorded saga of that name, whatever its version, under `new`. Other sagas are passed over.

    Sagas that have not ended, or whose start is no longer kept, are counted, not judged. Raises Conflict if a
    definition is not known.
    """
    verdict = Verdict()
    for saga_id, facts in sagas.items():
        first = facts[0].fact
        if first.saga != new.name:
            continue
        if first.key != STARTED_KEY:
            verdict.cut_off += 1
            continue
        old = known(first.definition)
        if old is None:
            raise Conflict(
                f"saga {saga_id} is of {first.definition}, which is neither published nor recorded"
            )
        state = fold(old, facts)
        if not (state.ended or state.status is SagaStatus.WAITING):
            verdict.under_way += 1
            continue
        verdict.judged += 1
        if found := diverge(old, new, facts, undoable):
            verdict.diverging[saga_id] = found
    return verdict
