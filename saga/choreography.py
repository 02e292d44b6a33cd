"""The pure core: what one participant must do now (`decide`), and what state a saga is in (`fold`).

No I/O, no clock, no chance. Participants, saga log, replay, static checks and the simulator all call
these functions; the rules of sagas stand nowhere else.

What the rules lean on: all facts of one saga are totally ordered, and once `_saga.aborted` is stored the
server refuses every `started`, `completed`, `skipped` and `failed` of that saga. So after the abort what
is absent stays absent, and every decision of the wave back is made on a reading that includes the abort.

Crash: a delivery that was not acknowledged comes again. A step that `started` and has neither ended nor
closed is then resumed (forward) or closed (after an abort) by the delivery of its last cause, and by no
other: one that waited for a later fact must not undo a step that is running. The server may count a
redelivery as the first one (a killed server forgets), so nothing is decided on that count.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, STARTED_KEY, FactKey, FactKind, Facts
from contracts.failure import Failure
from contracts.graph import Graph
from contracts.references import Scope
from saga.conditions import holds

SPOKEN = (FactKind.COMPLETED, FactKind.SKIPPED, FactKind.FAILED)
CLOSED = (FactKind.COMPENSATED, FactKind.STOOD_DOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The fact a participant has just heard.

    `owner` tells that it was redelivered, or that the fence has refused what the step wanted to state (no
    rule depends on it). `refused` is the failure it then wanted to state.
    """

    sequence: int
    key: FactKey
    owner: bool = False
    refused: Failure | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Do the step, with this data. `resumed`: it had been started before."""

    scope: Scope
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """The condition is false: state `skipped`."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Compensate:
    """Undo the step. `output` is None when it is not known whether there was an effect."""

    input: dict[str, Any]
    output: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StandDown:
    """The step had started but had no effect: state `stood_down`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not due yet: the fact that is still missing will trigger it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing to do, now or later, because of this fact."""

    reason: str


type Decision = Run | Skip | Compensate | StandDown | Wait | Ignore


def decide(
    definition: SagaDefinition,
    step: str,
    facts: Facts,
    trigger: Trigger,
    condition_holds: Callable[[str, Scope], bool] = holds,
) -> Decision:
    """What the participant of `step` must do about it now.

    `facts` must hold the trigger; for a trigger that is not the first of its delivery, for a step after
    several steps and after an abort it must be a reading of the whole saga.
    Raises InvalidContract if the step's condition cannot be evaluated.
    """
    if ABORTED_KEY in facts:
        return _decide_wave(definition, step, facts, trigger)
    if trigger.key not in causes(definition, step):
        return Ignore("this fact does not cause the step")
    if said := _first(facts, step, SPOKEN):
        return Ignore(f"the step has already stated {said}")
    for keys in needs(definition, step):
        if not any(key in facts for key in keys):
            return Wait(f"waits for {' or '.join('.'.join(key) for key in keys)}")
    if trigger.sequence != _last_cause(definition, step, facts):
        return Wait("a later fact is the last one the step needs, and triggers it")
    # Started or not, it is this delivery that runs the step: if nobody else may, nobody else is waited for.
    started = (step, FactKind.STARTED) in facts
    scope = scope_of(definition, step, facts)
    condition = definition.by_name[step].when
    if not started and condition is not None and not condition_holds(condition, scope):
        return Skip(scope)
    return Run(scope, resumed=started)


def _decide_wave(definition: SagaDefinition, step: str, facts: Facts, trigger: Trigger) -> Decision:
    if (step, FactKind.STARTED) not in facts:
        return Ignore("the saga is aborted and the step never started")
    if all_passed(definition, facts):
        # Nothing fences an abort on the last step: a cancel or deadline may be stored just after it.
        return Ignore("the saga had completed before it was aborted")
    if said := _first(facts, step, CLOSED):
        return Ignore(f"the step is already closed: {said}")
    ended = (step, FactKind.COMPLETED) in facts or (step, FactKind.FAILED) in facts
    forward = trigger.key in causes(definition, step)
    if not ended and not (forward and trigger.sequence == _last_cause(definition, step, facts)):
        return Ignore("in flight: the delivery that runs it closes it, now or when it comes again")
    if ended and forward:
        return Ignore("the abort and the closing of later steps trigger the undo")
    if still_open := open_steps(definition, facts, among=definition.graph.descendants[step]):
        return Wait(f"waits for {', '.join(sorted(still_open))} to close first")
    if ended and trigger.sequence != _last_of_wave(definition, step, facts):
        return Wait("a later fact is the last one of the wave, and triggers the undo")
    if (step, FactKind.COMPENSATION_FAILED) in facts:
        return Wait("its compensation has failed: a person must act")
    return _close(step, facts, trigger)


def _close(step: str, facts: Facts, trigger: Trigger) -> Decision:
    failed = facts.get((step, FactKind.FAILED))
    refusal = trigger.refused or (Failure.model_validate(failed.fact.data["failure"]) if failed else None)
    if refusal is not None and refusal.effect == "none":
        return StandDown(refusal.code)
    completed = facts.get((step, FactKind.COMPLETED))
    return Compensate(
        input=facts[step, FactKind.STARTED].fact.data["input"],
        output=completed.fact.data["output"] if completed else None,
    )


def _last_cause(definition: SagaDefinition, step: str, facts: Facts) -> int:
    """The sequence of the last of the facts a step needs: its delivery, and no other, runs the step."""
    return max((facts[key].sequence for key in causes(definition, step) if key in facts), default=0)


def _last_of_wave(definition: SagaDefinition, step: str, facts: Facts) -> int:
    closes = (
        facts[later, kind].sequence
        for later in definition.graph.descendants[step]
        for kind in CLOSED
        if (later, kind) in facts
    )
    return max(facts[ABORTED_KEY].sequence, *closes, 0)


def open_steps(definition: SagaDefinition, facts: Facts, among: Iterable[str]) -> set[str]:
    """The steps that have started and are not closed: what an aborted saga still has to undo."""
    return {step for step in among if (step, FactKind.STARTED) in facts and not _first(facts, step, CLOSED)}


def needs(definition: SagaDefinition, step: str) -> tuple[tuple[FactKey, ...], ...]:
    """What a step needs to be due: of each group, one fact."""
    return _needs(definition.graph, step)


def _passing_facts(graph: Graph, step: str) -> tuple[FactKey, ...]:
    """The facts of a step after which the steps that follow it may run."""
    kinds = SPOKEN if step in graph.continues else (FactKind.COMPLETED, FactKind.SKIPPED)
    return tuple((step, kind) for kind in kinds)


@lru_cache(maxsize=8192)
def _needs(graph: Graph, step: str) -> tuple[tuple[FactKey, ...], ...]:
    before = graph.predecessors[step]
    return tuple(_passing_facts(graph, name) for name in before) if before else ((STARTED_KEY,),)


@lru_cache(maxsize=8192)
def _causes(graph: Graph, step: str) -> frozenset[FactKey]:
    return frozenset(key for group in _needs(graph, step) for key in group)


def causes(definition: SagaDefinition, step: str) -> frozenset[FactKey]:
    """The facts that can trigger a step forward."""
    return _causes(definition.graph, step)


def heard_by(definition: SagaDefinition, step: str) -> frozenset[FactKey]:
    """All facts the participant of a step listens to: what causes it, the abort, later steps' closing."""
    closes = {(later, kind) for later in definition.graph.descendants[step] for kind in CLOSED}
    return causes(definition, step) | {ABORTED_KEY} | closes


def all_passed(definition: SagaDefinition, facts: Facts) -> bool:
    """Whether every step has let the saga pass: it has completed, and no later abort changes that."""
    graph = definition.graph
    return all(any(key in facts for key in _passing_facts(graph, step)) for step in graph.predecessors)


def may_abort(definition: SagaDefinition, facts: Facts) -> bool:
    """Whether the saga can still be turned round: not aborted or completed yet, nor its pivot completed."""
    pivot = definition.pivot
    past_pivot = pivot is not None and (pivot.name, FactKind.COMPLETED) in facts
    return not (ABORTED_KEY in facts or past_pivot or all_passed(definition, facts))


def scope_of(definition: SagaDefinition, step: str, facts: Facts) -> Scope:
    """The data a due step sees: the input, or what the facts before it carry, and their outputs."""
    if not definition.graph.predecessors[step]:
        return {"input": facts[STARTED_KEY].fact.data["input"], "steps": {}}
    scope: dict[str, dict[str, Any]] = {"input": {}, "steps": {}}
    for group in needs(definition, step):
        for key in group:
            if key in facts:
                _merge(scope, key[0], facts[key].fact.data)
    return scope


def _merge(scope: dict[str, dict[str, Any]], step: str, data: dict[str, Any]) -> None:
    carried = data.get("carried", {})
    scope["input"].update(carried.get("input", {}))
    scope["steps"].update(carried.get("steps", {}))
    if "output" in data:
        scope["steps"][step] = data["output"]


def carry(definition: SagaDefinition, step: str, scope: Scope) -> dict[str, Any]:
    """What the step's fact must carry on of the data it saw, for the steps after it (JSON of `Carried`)."""
    needed = definition.graph.carried[step]
    earlier, given = scope["steps"], scope["input"]
    return {
        "input": {name: given[name] for name in needed.input if name in given},
        "steps": {
            name: {field: earlier[name][field] for field in fields if field in earlier[name]}
            for name, fields in needed.steps.items()
            if name in earlier
        },
    }


def _first(facts: Facts, step: str, kinds: Iterable[str]) -> str:
    return next((kind for kind in kinds if (step, kind) in facts), "")
