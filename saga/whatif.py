"""Recorded sagas against another definition, or changed handlers: which would have gone another way, and why."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Recorded
from contracts.failure import Conflict
from saga.divergence import Divergence, differences, diverge
from saga.imagine import recorded_runs
from saga.rerun.again import imagine_again
from saga.rerun.ground import Ground
from saga.state import SagaStatus, fold

KEPT = 1_000
"""So many diverging sagas are told whole; of the others only the first difference is counted."""

type _Kind = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is changed: the definition (None: each saga's own stays), and the handlers on their ground.

    `undoable`: actions that can be undone, for steps that did not run.
    """

    definition: SagaDefinition | None = None
    ground: Ground | None = None
    undoable: Collection[str] = ()

    def concerns(self, definition: SagaDefinition) -> bool:
        """Whether sagas of this definition may be touched by it."""
        if self.definition is not None:
            return definition.name == self.definition.name
        return self.ground is not None and any(
            step.action in self.ground.actions for step in definition.steps
        )


@dataclass(slots=True)
class Verdict:
    """What became of so many recorded sagas. `told`: the first thousand that diverge with their differences, the first
    one first. `done_again`: how often a step of a changed action was."""

    judged: int = 0
    diverging: int = 0
    told: dict[str, list[Divergence]] = field(default_factory=dict)
    under_way: int = 0
    cut_off: int = 0
    done_again: Counter[str] = field(default_factory=Counter)
    counts: Counter[_Kind] = field(default_factory=Counter)
    examples: dict[_Kind, tuple[Divergence, str]] = field(default_factory=dict)

    def add(self, saga_id: str, found: list[Divergence]) -> None:
        """Count one that diverges."""
        self.diverging += 1
        if len(self.told) < KEPT:
            self.told[saga_id] = found
        kind = _kind(found[0])
        self.counts[kind] += 1
        self.examples.setdefault(kind, (found[0], saga_id))

    def reasons(self) -> list[tuple[Divergence, int, str]]:
        """The first differences, the most frequent first: one of each kind, how often, and a saga as example."""
        return [
            (self.examples[kind][0], count, self.examples[kind][1])
            for kind, count in self.counts.most_common()
        ]


def _kind(first: Divergence) -> _Kind:
    # Values of inputs and outputs differ from saga to saga.
    values = first.what.partition("/")[0] in ("input", "output")
    return (first.step, first.what, *(("", "") if values else (first.was, first.would)))


async def judge(
    change: Change,
    sagas: AsyncIterator[tuple[str, Sequence[Recorded]]],
    known: Callable[[str], Awaitable[SagaDefinition | None]],
) -> Verdict:
    """Every recorded saga that the change concerns, whatever its version. Other sagas are passed over.

    Sagas that have not ended, or whose start is no longer kept, are counted, not judged. Raises Conflict if a
    definition is not known.
    """
    verdict = Verdict()
    async for saga_id, facts in sagas:
        first = facts[0].fact
        if change.definition is not None and first.saga != change.definition.name:
            continue
        if first.key != STARTED_KEY:
            verdict.cut_off += 1
            continue
        old = await known(first.definition)
        if old is None:
            raise Conflict(
                f"saga {saga_id} is of {first.definition}, which is neither published nor recorded"
            )
        if not change.concerns(old):
            continue
        state = fold(old, facts)
        if not (state.ended or state.status is SagaStatus.WAITING):
            verdict.under_way += 1
            continue
        verdict.judged += 1
        if found := await _differences(change, old, facts, verdict):
            verdict.add(saga_id, found)
    return verdict


async def _differences(
    change: Change, old: SagaDefinition, facts: Sequence[Recorded], verdict: Verdict
) -> list[Divergence]:
    new = change.definition or old
    if change.ground is None:
        return diverge(old, new, facts, change.undoable)
    runs = recorded_runs(old, facts)
    again = await imagine_again(new, runs, facts, change.undoable, change.ground)
    verdict.done_again.update(new.by_name[step].action for step in again.done)
    return differences(old, new, facts, runs, again.imagined)
