"""What state a saga is in: `fold` over its facts, one fact at a time by `advance`.

Idempotent and order-true: a fact that comes twice changes nothing, and the state after fact n is the
same whether it was folded at once or fact by fact. The saga log's rows are written from this and from
nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Any

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, Fact, FactKind, Recorded
from contracts.subjects import SAGA_STEP


class SagaStatus(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    WAITING = "waiting"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    FAILED = "failed"


ENDED = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})


class StepStatus(StrEnum):
    PENDING = "pending"
    HELD = "held"
    SUSPENDED = "suspended"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    STOOD_DOWN = "stood_down"
    COMPENSATION_FAILED = "compensation_failed"
    COMPENSATION_SKIPPED = "compensation_skipped"


CLOSED_STATUSES = frozenset({StepStatus.COMPENSATED, StepStatus.STOOD_DOWN, StepStatus.COMPENSATION_SKIPPED})
_DONE = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
_AFTER_A_REST = {
    StepStatus.HELD: StepStatus.PENDING,
    StepStatus.SUSPENDED: StepStatus.RUNNING,
    StepStatus.COMPENSATION_FAILED: StepStatus.COMPENSATING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """One step of one saga. `opened`: it has stated `started`, so an abort must close it."""

    status: StepStatus = StepStatus.PENDING
    opened: bool = False
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    closed_at: datetime | None = None
    duration_ms: float | None = None
    failure: dict[str, Any] | None = None
    sequence: int = 0

    @property
    def closed(self) -> bool:
        return self.status in CLOSED_STATUSES

    @property
    def open(self) -> bool:
        return self.opened and not self.closed


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaState:
    """One saga. `sequence` is the last fact's; `abort` is the data of `_saga.aborted`."""

    status: SagaStatus = SagaStatus.RUNNING
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    ended_sequence: int | None = None
    abort: dict[str, Any] | None = None
    paused: bool = False
    sequence: int = 0
    steps: dict[str, StepState] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ENDED


def initial(definition: SagaDefinition) -> SagaState:
    """A saga of which nothing has been heard yet."""
    return SagaState(steps={step.name: StepState() for step in definition.steps})


def fold(definition: SagaDefinition, facts: Iterable[Recorded]) -> SagaState:
    """The state after these facts, given in stream order."""
    return reduce(lambda state, recorded: advance(definition, state, recorded), facts, initial(definition))


def advance(definition: SagaDefinition, state: SagaState, recorded: Recorded) -> SagaState:
    """The state after one more fact. A fact that is not newer than the state changes nothing."""
    if recorded.sequence <= state.sequence:
        return state
    fact = recorded.fact
    step, kind = fact.key
    changes: dict[str, Any] = {"sequence": recorded.sequence}
    if step == SAGA_STEP:
        changes |= _changes_of_saga(state, kind, fact)
    elif step in state.steps:
        changes["steps"] = {**state.steps, step: _advance_step(state.steps[step], kind, recorded)}
    else:
        return replace(state, sequence=recorded.sequence)
    changed = replace(state, updated_at=fact.time, **changes)
    if _turned_round_again(state, fact):
        changed = replace(changed, abort=fact.data, ended_at=None, ended_sequence=None)
    elif state.ended:
        return changed
    status = status_of(definition, changed)
    if status in ENDED:
        return replace(changed, status=status, ended_at=fact.time, ended_sequence=recorded.sequence)
    return changed if status == changed.status else replace(changed, status=status)


def _turned_round_again(state: SagaState, fact: Fact) -> bool:
    """A saga that has completed is undone with its parent, and by nobody else."""
    return fact.key == ABORTED_KEY and state.status is SagaStatus.COMPLETED and fact.data["cause"] == "parent"


def _changes_of_saga(state: SagaState, kind: str, fact: Fact) -> dict[str, Any]:
    if kind == FactKind.STARTED and state.started_at is None:
        return {"started_at": fact.time}
    if kind == FactKind.ABORTED and state.abort is None:
        return {"abort": fact.data}
    if kind in (FactKind.PAUSED, FactKind.RESUMED):
        return {"paused": kind == FactKind.PAUSED}
    return {}


def _advance_step(step: StepState, kind: str, recorded: Recorded) -> StepState:
    fact, data = recorded.fact, recorded.fact.data
    attempt = data.get("attempt", step.attempt)
    match kind:
        case FactKind.STARTED if step.ended_at is not None:
            # A slow worker starts what somebody has meanwhile skipped: it will do nothing, but must close.
            return replace(step, opened=True, sequence=recorded.sequence)
        case FactKind.STARTED if not step.opened:
            return replace(
                step, status=StepStatus.RUNNING, opened=True, attempt=attempt, started_at=fact.time,
                sequence=recorded.sequence,
            )  # fmt: skip
        case FactKind.COMPLETED | FactKind.SKIPPED | FactKind.FAILED if step.ended_at is None:
            return replace(
                step, status=StepStatus(kind), attempt=attempt, ended_at=fact.time,
                started_at=step.started_at, duration_ms=data.get("duration_ms"),
                failure=data.get("failure"), sequence=recorded.sequence,
            )  # fmt: skip
        case FactKind.ATTEMPT_FAILED if not _too_late(step, data):
            status = StepStatus.COMPENSATING if data.get("compensation") else StepStatus.RETRYING
            return replace(
                step, status=status, attempt=attempt, failure=data.get("failure"), sequence=recorded.sequence
            )
        case FactKind.HELD if step.status == StepStatus.PENDING:
            return replace(step, status=StepStatus.HELD, sequence=recorded.sequence)
        case FactKind.SUSPENDED if step.ended_at is None and not step.closed:
            return replace(step, status=StepStatus.SUSPENDED, sequence=recorded.sequence)
        case FactKind.WOKEN if step.status in _AFTER_A_REST and data["rest"] >= step.sequence:
            return replace(step, status=_AFTER_A_REST[step.status], sequence=recorded.sequence)
        case FactKind.COMPENSATED | FactKind.STOOD_DOWN | FactKind.COMPENSATION_SKIPPED if not step.closed:
            return replace(step, status=StepStatus(kind), closed_at=fact.time, sequence=recorded.sequence)
        case FactKind.COMPENSATION_FAILED if not step.closed:
            return replace(
                step, status=StepStatus.COMPENSATION_FAILED, failure=data.get("failure"),
                sequence=recorded.sequence,
            )  # fmt: skip
        case _:
            return step


def _too_late(step: StepState, data: dict[str, Any]) -> bool:
    """A worker that was paused may state its failed attempt after another one has ended or closed the step."""
    if step.closed or step.status == StepStatus.COMPENSATION_FAILED:
        return True
    return not data.get("compensation") and step.ended_at is not None


def status_of(definition: SagaDefinition, state: SagaState) -> SagaStatus:
    """The saga's status, derived from its abort and its steps."""
    if state.abort is not None:
        return _status_of_aborted(state)
    passed = {name for name, step in state.steps.items() if _passed(definition, name, step)}
    if len(passed) == len(state.steps):
        return SagaStatus.COMPLETED
    stuck = {name for name, step in state.steps.items() if step.status == StepStatus.FAILED} - passed
    pivot = definition.pivot
    if not stuck or pivot is None or state.steps[pivot.name].status != StepStatus.COMPLETED:
        # Before the pivot a failure for good is stored together with the abort that follows it.
        return _going_on(state)
    blocked = stuck.union(*(definition.graph.descendants[name] for name in stuck))
    return SagaStatus.FAILED if passed | blocked == state.steps.keys() else _going_on(state)


def _going_on(state: SagaState) -> SagaStatus:
    return SagaStatus.PAUSED if state.paused else SagaStatus.RUNNING


def _status_of_aborted(state: SagaState) -> SagaStatus:
    still_open = [step for step in state.steps.values() if step.open]
    if not still_open:
        given_up = any(step.status == StepStatus.COMPENSATION_SKIPPED for step in state.steps.values())
        return SagaStatus.FAILED if given_up else SagaStatus.COMPENSATED
    if any(step.status == StepStatus.COMPENSATION_FAILED for step in still_open):
        return SagaStatus.WAITING
    return SagaStatus.COMPENSATING


def _passed(definition: SagaDefinition, name: str, step: StepState) -> bool:
    if step.status == StepStatus.FAILED:
        return definition.by_name[name].on_error == "continue"
    return step.status in _DONE
