"""Where a recorded saga would have gone another way under another definition, the first place first."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.definition import SagaDefinition
from contracts.facts import FactKind, Recorded
from contracts.pointers import child
from contracts.subjects import SAGA_STEP
from saga.imagine import Imagined, Ran, imagine, recorded_runs
from saga.state import fold

_NEVER = "never ran"


@dataclass(frozen=True, slots=True)
class Divergence:
    """One difference. `what`: end, cause, input, output, undo, action, unknown or status; `order` is its place in the
    recorded saga, by sequence."""

    order: int
    step: str
    what: str
    was: str
    would: str


def diverge(
    old: SagaDefinition, new: SagaDefinition, facts: Sequence[Recorded], undoable: Collection[str]
) -> list[Divergence]:
    """How the saga differs under `new`; nothing, if it would have gone the same way."""
    runs = recorded_runs(old, facts)
    return differences(old, new, facts, runs, imagine(new, runs, facts, undoable))


def differences(
    old: SagaDefinition,
    new: SagaDefinition,
    facts: Sequence[Recorded],
    runs: Mapping[str, Ran],
    imagined: Imagined,
) -> list[Divergence]:
    """How an imagined saga differs from the recorded one, whose steps did what `runs` says."""
    last = facts[-1].sequence
    found = [one for step in {**runs, **imagined.ran} for one in _of_step(step, runs, imagined, last)]
    was, would = fold(old, facts).status, fold(new, imagined.facts).status
    if was != would:
        found.append(Divergence(last, SAGA_STEP, "status", was.value, would.value))
    return sorted(found, key=lambda one: (one.order, one.step == SAGA_STEP))


def _of_step(step: str, runs: Mapping[str, Ran], imagined: Imagined, last: int) -> Iterator[Divergence]:
    was, would = runs.get(step), imagined.ran.get(step)
    order = min(one.order for one in (was, would) if one is not None)
    if _end(was) != _end(would):
        yield Divergence(order, step, "end", _end(was), _end(would))
    if was is not None and would is not None:
        if was.action != would.action:
            yield Divergence(order, step, "action", was.action, would.action)
        elif was.cause and would.cause and was.cause[0] != would.cause[0]:
            yield Divergence(order, step, "cause", ".".join(was.cause), ".".join(would.cause))
        if (
            was.input is not None
            and would.input is not None
            and FactKind.SKIPPED not in (was.kind, would.kind)
        ):
            for pointer, before, after in different(was.input, would.input):
                yield Divergence(order, step, f"input{pointer}", before, after)
        if was.kind == would.kind == FactKind.COMPLETED and step not in imagined.unknown:
            for pointer, before, after in different(was.data.get("output"), would.data.get("output")):
                yield Divergence(order, step, f"output{pointer}", before, after)
        if was.undo != would.undo:
            # What is undone follows from what went before, and is never the first difference.
            yield Divergence(last, step, "undo", was.undo or "none", would.undo or "none")
    if step in imagined.unknown:
        yield Divergence(order, step, "unknown", _end(was), imagined.unknown[step])


def _end(ran: Ran | None) -> str:
    if ran is None:
        return _NEVER
    code = (ran.data.get("failure") or {}).get("code") if ran.kind == FactKind.FAILED else None
    return f"{ran.kind} ({code})" if code else ran.kind or "under way"


def different(was: Any, would: Any, pointer: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two JSON values differ: the pointer, and what stands there in each."""
    if isinstance(was, dict) and isinstance(would, dict):
        for key in sorted(was.keys() | would.keys()):
            yield from different(was.get(key), would.get(key), child(pointer, key))
    elif was != would:
        yield pointer, repr(was), repr(would)
