"""What a redrive runs again, and what it takes over. Pure.

    taken over    what has happened and stands: completed and never undone, skipped, failed and passed by
    run again     the chosen steps and those after them; without a choice, the first ones that do not stand

Money is safe by these rules. What was undone is never taken over: it does not stand. What stands for good (the pivot,
and what could be undone and was not) never runs again: its effect would happen twice. Where nobody knows whether a step
that could be undone had its effect, it runs again only if it is chosen by name.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.children import PARENT
from contracts.definition import SagaDefinition, Step
from contracts.facts import STARTED_KEY, FactKey, FactKind, Recorded
from contracts.failure import Conflict, InvalidContract
from contracts.ids import saga_id_for
from contracts.references import Reference
from saga.choreography import runs_again
from saga.scope import carry
from saga.state import SagaState, SagaStatus, StepStatus, fold

_STANDS: Mapping[StepStatus, FactKind] = {
    StepStatus.COMPLETED: FactKind.COMPLETED,
    StepStatus.SKIPPED: FactKind.SKIPPED,
    StepStatus.FAILED: FactKind.FAILED,
}
_REDRIVABLE = (SagaStatus.COMPENSATED, SagaStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A redrive of `saga_id` as `new_id`. Steps are in the order of the definition's graph.

    `repeated` are steps that run again although they had completed, and whose effect nothing undoes.
    """

    saga_id: str
    new_id: str
    definition: SagaDefinition
    input: dict[str, Any]
    from_steps: tuple[str, ...]
    taken_over: tuple[str, ...]
    again: tuple[str, ...]
    repeated: tuple[str, ...]


def redrive_id(saga_id: str) -> str:
    """The id of the saga that a redrive of this one is: there is at most one."""
    return saga_id_for(f"redrive:{saga_id}")


def plan(
    definition: SagaDefinition,
    facts: Sequence[Recorded],
    input: dict[str, Any],
    from_steps: Iterable[str] = (),
) -> Plan:
    """A redrive of the saga of these facts with this input, checked before.

    Raises Conflict (it has not failed, is another saga's child, or what would have to run again stands; or what would
    have to stand does not), InvalidContract (there is no such step).
    """
    state, old = fold(definition, facts), {recorded.fact.key: recorded for recorded in facts}
    saga_id, chosen = facts[0].fact.sagaid, tuple(dict.fromkeys(from_steps))
    _require_redrivable(saga_id, state, old)
    for name in chosen:
        definition.step(name)
    graph = definition.graph
    fallen = {step.name: why for step in definition.steps if (why := _falls(step, state, old, input))}
    for name in chosen:
        if before := [other for other in graph.order if other in graph.ancestors[name] and other in fallen]:
            told = "; ".join(f"{other} {fallen[other]}" for other in before)
            raise Conflict(
                f"saga {saga_id} cannot be redriven from {name}: {told}. Redrive it from {before[0]}, or leave the "
                "step out, and it begins where it must"
            )
    again = runs_again(graph, tuple(sorted({*chosen, *fallen})))
    for name in graph.order:
        if name in again and (why := _forbids(definition.by_name[name], state, chosen)):
            raise Conflict(f"saga {saga_id} cannot be redriven: {name} would run again, and {why}")
    completed = [name for name in graph.order if state.steps[name].status is StepStatus.COMPLETED]
    return Plan(
        saga_id=saga_id,
        new_id=redrive_id(saga_id),
        definition=definition,
        input=input,
        from_steps=tuple(name for name in graph.order if name in again and not graph.ancestors[name] & again),
        taken_over=tuple(name for name in graph.order if name not in again),
        again=tuple(name for name in graph.order if name in again),
        repeated=tuple(name for name in completed if name in again),
    )


def _require_redrivable(saga_id: str, state: SagaState, old: Mapping[FactKey, Recorded]) -> None:
    started = old.get(STARTED_KEY)
    if started is None:
        raise Conflict(f"saga {saga_id}: its start is no longer kept, so nothing can be taken over from it")
    if state.status not in _REDRIVABLE:
        what = "has nothing to be redriven" if state.ended else "goes on: step in there, or cancel it first"
        raise Conflict(f"saga {saga_id} is {state.status}: it {what}")
    if parent := started.fact.data.get("labels", {}).get(PARENT):
        raise Conflict(
            f"saga {saga_id} is a child of saga {parent}, which waits for it no longer: redrive that"
        )
    for name, step in state.steps.items():
        if step.status is StepStatus.COMPENSATION_SKIPPED:
            raise Conflict(
                f"saga {saga_id}: the undo of {name} was given up, so only a person knows whether its effect stands: "
                "start a new saga instead"
            )


def _falls(step: Step, state: SagaState, old: Mapping[FactKey, Recorded], input: dict[str, Any]) -> str:
    """Why a step cannot be taken over; empty if it stands."""
    status = state.steps[step.name].status
    passed = status is StepStatus.FAILED and step.on_error == "continue"
    if status not in (StepStatus.COMPLETED, StepStatus.SKIPPED) and not passed:
        return "was undone" if status is StepStatus.COMPENSATED else f"is {status}"
    before = old[STARTED_KEY].fact.data["input"]
    for reference in step.references:
        if reference.root == "input" and _value(reference, before) != _value(reference, input):
            return f"has used {reference.text}, which is another now"
    return ""


def _value(reference: Reference, input: dict[str, Any]) -> Any:
    try:
        return reference.resolve({"input": input, "steps": {}})
    except InvalidContract as error:
        return str(error)


def _forbids(step: Step, state: SagaState, chosen: Collection[str]) -> str:
    """Why a step must not run again; empty if it may."""
    found = state.steps[step.name]
    if found.status is StepStatus.COMPLETED:
        if step.pivot:
            return "it is the pivot: what it did is done"
        return "its effect was not undone: it would happen twice" if found.opened else ""
    if found.open and step.name not in chosen and (found.failure or {}).get("effect") != "none":
        return "nobody knows whether it had its effect: find that out, and if it had none, choose it by name"
    return ""


def taken_over_facts(plan: Plan, facts: Sequence[Recorded]) -> list[tuple[str, FactKind, dict[str, Any]]]:
    """Step, kind and data of the facts that a redrive states of what it takes over."""
    old = {recorded.fact.key: recorded.fact.data for recorded in facts}
    state, definition = fold(plan.definition, facts), plan.definition
    outputs: dict[str, Any] = {}
    found = []
    for name in plan.taken_over:
        kind = _STANDS[state.steps[name].status]
        said = old[name, kind]
        # The input may be another, so what is carried of it is worked out anew.
        seen = {other: outputs[other] for other in definition.graph.ancestors[name] if other in outputs}
        data = {"carried": carry(definition, name, {"input": plan.input, "steps": seen})}
        match kind:
            case FactKind.COMPLETED:
                outputs[name] = said["output"]
                data |= {"output": said["output"]}
            case FactKind.SKIPPED:
                data |= {"reason": said["reason"], "by": said.get("by", "")}
            case _:
                data |= {"failure": said["failure"], "attempt": said["attempt"]}
        found.append((name, kind, data))
    return found


def merged(value: Any, patch: Any) -> Any:
    """A JSON value with a merge patch applied (RFC 7396): null takes a member out, objects are merged."""
    if not isinstance(patch, dict):
        return patch
    base = value if isinstance(value, dict) else {}
    kept = {name: item for name, item in base.items() if name not in patch}
    return kept | {name: merged(base.get(name), item) for name, item in patch.items() if item is not None}
