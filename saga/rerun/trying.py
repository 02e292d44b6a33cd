"""One changed handler on the input of one recorded step: how it would end, or why that cannot be told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.directives import directives_of
from contracts.facts import FactKind, Recorded, explain
from contracts.failure import CODE_INPUT_INVALID, Failure
from contracts.retries import next_delay_s
from saga.execution import Attempt, Deferred, Done, Failed, Suspended, attempt_to_rehearse
from saga.imagine import Ran
from saga.policies import as_run, policy_of
from saga.rerun.ground import CannotTry, Ground, ShutBreakers, Stand, TrialContext
from saga.waits import Waits

_LATER = timedelta(seconds=1)
_NO_SPREAD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a step ends: a fact's kind and data. `unknown` says why that cannot be told."""

    kind: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A step of a recorded saga that is to be done by changed code; `was` is what it did, if it ran."""

    definition: SagaDefinition
    step: Step
    facts: Sequence[Recorded]
    was: Ran | None
    order: int
    given: dict[str, Any]


async def try_step(ground: Ground, trial: Trial) -> Tried:
    """One attempt, at the time when the step ended, and another a second later.

    What differs between the two (ids, times) is made anew each time and says nothing: it stays as it was recorded.
    """
    try:
        stand = await ground.stand(trial.step.action)
    except CannotTry as error:
        return Tried(unknown=str(error))
    step = as_run(trial.step, stand.action.contract, ground.policies)
    breaker = policy_of(stand.action.contract, ground.policies, step).policy.breaker
    if breaker and stand.action.dry_run is ground.actions[step.action].handler:
        return Tried(unknown=f"it goes outside, through the breaker {breaker}")
    first = await _attempt(stand, trial, step, timedelta())
    if first.kind != FactKind.COMPLETED:
        return first
    again = await _attempt(stand, trial, step, _LATER)
    if again.kind != first.kind:
        return Tried(unknown=f"it ends in two ways: completed, and {again.unknown or again.kind}")
    recorded = trial.was.data.get("output") if trial.was is not None else None
    return Tried(
        kind=first.kind, data={"output": settled(first.data["output"], again.data["output"], recorded)}
    )


async def _attempt(stand: Stand, trial: Trial, step: Step, later: timedelta) -> Tried:
    try:
        command = stand.action.input.model_validate(trial.given)
    except ValidationError as error:
        failure = Failure(code=CODE_INPUT_INVALID, message=explain(error)[:4096], effect="none")
        return _ended(Failed(failure), trial, step)
    context = _context(stand, trial, step, later)
    end = await attempt_to_rehearse(stand.action, context, command, step.timeout_s)
    if context.barred:
        return Tried(unknown=context.barred[0])
    return _ended(end, trial, step)


def _ended(end: Attempt, trial: Trial, step: Step) -> Tried:
    match end:
        case Done(output):
            return Tried(kind=FactKind.COMPLETED, data={"output": output or {}})
        case Failed(failure) if next_delay_s(step.retry, failure, 1, _NO_SPREAD) is None:
            return Tried(kind=FactKind.FAILED, data=_failed(failure))
        case Failed(failure):
            if trial.was is not None and _code(trial.was) == failure.code:
                return Tried(kind=FactKind.FAILED, data=trial.was.data)
            return Tried(unknown=f"it fails and would be tried again: {failure.code}: {failure.message}")
        case Suspended():
            return Tried(unknown="it waits for what is not recorded")
        case Deferred():
            return Tried(unknown="it is not at its end at once")
        case _:
            raise AssertionError(f"a rehearsal has no guard, and ended with {end}")


def _failed(failure: Failure) -> dict[str, Any]:
    return {"failure": failure.model_dump(mode="json"), "attempt": 1}


def _code(was: Ran) -> str:
    return str(was.data.get("failure", {}).get("code", "")) if was.kind == FactKind.FAILED else ""


def _context(stand: Stand, trial: Trial, step: Step, later: timedelta) -> TrialContext:
    fact, at = trial.facts[0].fact, _moment(trial) + later
    said = {recorded.fact.key: recorded.fact.data for recorded in trial.facts}
    signalled = said.get((step.name, FactKind.SIGNALLED), {})

    def clock() -> datetime:
        return at

    barred: list[str] = []
    return TrialContext(
        saga_id=fact.sagaid,
        step=step.name,
        action=step.action,
        definition=trial.definition.ref,
        attempt=1,
        deadline=at + timedelta(seconds=step.timeout_s),
        clock=clock,
        breakers=ShutBreakers(barred),
        correlation_id=fact.correlationid,
        traceparent=fact.traceparent,
        directives=directives_of(fact.directives),
        database=stand.database,
        outbox=stand.outbox,
        emits=stand.action.emits,
        resource=stand.resource,
        waits=Waits(clock, said.get((step.name, FactKind.SUSPENDED)), signalled.get("payload")),
        barred=barred,
    )


def _moment(trial: Trial) -> datetime:
    """When the step ended; if it never did, when the saga had come so far."""
    kind = trial.was.kind if trial.was is not None else ""
    before = [one.fact for one in trial.facts if one.sequence <= trial.order] or [trial.facts[0].fact]
    ended = [fact for fact in (one.fact for one in trial.facts) if fact.key == (trial.step.name, kind)]
    return (ended or before)[-1].time


def settled(one: Any, other: Any, recorded: Any) -> Any:
    """`one`, but what is different in `other` as it was recorded, if it was."""
    if isinstance(one, dict) and isinstance(other, dict):
        was = recorded if isinstance(recorded, dict) else {}
        return {name: settled(value, other.get(name), was.get(name)) for name, value in one.items()}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        were = recorded if isinstance(recorded, list) and len(recorded) == len(one) else [None] * len(one)
        return [settled(*values) for values in zip(one, other, were, strict=True)]
    return one if one == other or recorded is None else recorded
