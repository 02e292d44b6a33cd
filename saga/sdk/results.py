"""What became of a workflow, in the words of whoever started it; worked out from the saga's facts and nothing else.

success       every step has completed or was skipped by its condition
partial       it went on to its end, but without the steps that failed (`continue_on_failure`)
compensated   it turned round, and what had been done was undone
failed        it turned round with nothing to undo, or stands still: at a failure beyond its pivot, or at an undo
              that could not be done and waits for a person
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.actions import ActionContract
from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, FactKind, Recorded
from contracts.failure import Failure, InvalidContract, SagaError
from saga.state import SagaState, SagaStatus, StepState, StepStatus, fold
from saga.timeline import Moment, timeline

type FindContract = Callable[[str], ActionContract | None]


class WorkflowOutcome(StrEnum):
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    COMPENSATED = "compensated"
    FAILED = "failed"


class StepOutcome(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    COMPENSATED = "compensated"


class WorkflowFailed(SagaError):
    """A workflow whose output was needed has ended otherwise than with success."""

    code = "workflow.failed"
    exit_code = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One step. `output` is the action's own model where this process has that version of it, else JSON data.

    A step that failed is `failed` also after its possible effect was undone. `skipped` is also what the saga never
    came to.
    """

    name: str
    action: str
    status: StepOutcome
    output: Any = None
    error: Failure | None = None
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: float | None = None

    def output_as[Model: BaseModel](self, model: type[Model]) -> Model:
        """The output as this model. Raises WorkflowFailed if there is none, InvalidContract if it does not fit."""
        if self.output is None:
            raise WorkflowFailed(f"step {self.name} has no output: it is {self.status}{_why(self.error)}")
        if isinstance(self.output, model):
            return self.output
        data = self.output.model_dump() if isinstance(self.output, BaseModel) else self.output
        return model.model_validate(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowResult:
    """A workflow as it is now, or as it ended. `log` tells every fact of it, in order.

    `error` is why it turned round or what failed first. `waits_for_person`: an undo could not be done.
    """

    saga_id: str
    definition: str
    status: WorkflowOutcome
    steps: Mapping[str, StepResult]
    input: Mapping[str, Any]
    error: Failure | None = None
    waits_for_person: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: float | None = None
    log: Sequence[Moment] = ()

    @property
    def success(self) -> bool:
        return self.status is WorkflowOutcome.SUCCESS

    def check(self) -> "WorkflowResult":
        """The result itself. Raises WorkflowFailed unless it is a success."""
        if not self.success:
            raise WorkflowFailed(f"{self.definition} {self.saga_id}: {self.status}{_why(self.error)}")
        return self


def result_of(definition: SagaDefinition, facts: Sequence[Recorded], find: FindContract) -> WorkflowResult:
    """The result as these facts tell it, given in stream order. Raises InvalidContract if there are none."""
    if not facts:
        raise InvalidContract(f"{definition.ref}: no facts of a saga")
    state = fold(definition, facts)
    by_key = {recorded.fact.key: recorded for recorded in facts}
    steps = {name: _step_result(definition, name, state, by_key, find) for name in state.steps}
    ended = state.ended_at or (state.updated_at if state.status is SagaStatus.WAITING else None)
    lasted = (ended - state.started_at).total_seconds() if ended and state.started_at else None
    started = by_key.get(STARTED_KEY)
    return WorkflowResult(
        saga_id=facts[0].fact.sagaid,
        definition=definition.ref,
        status=_outcome(state, steps),
        steps=steps,
        input=started.fact.data["input"] if started else {},
        error=_error(state, steps),
        waits_for_person=state.status is SagaStatus.WAITING,
        started_at=state.started_at,
        ended_at=ended,
        duration_ms=round(lasted * 1000, 3) if lasted is not None else None,
        log=timeline(facts),
    )


def _outcome(state: SagaState, steps: Mapping[str, StepResult]) -> WorkflowOutcome:
    found = {step.status for step in steps.values()}
    match state.status:
        case SagaStatus.COMPLETED:
            return WorkflowOutcome.PARTIAL if StepOutcome.FAILED in found else WorkflowOutcome.SUCCESS
        case SagaStatus.COMPENSATED:
            undone = any(step.status is StepStatus.COMPENSATED for step in state.steps.values())
            return WorkflowOutcome.COMPENSATED if undone else WorkflowOutcome.FAILED
        case SagaStatus.FAILED | SagaStatus.WAITING:
            return WorkflowOutcome.FAILED
        case _:
            return WorkflowOutcome.RUNNING


_OF_STATUS = {
    StepStatus.PENDING: StepOutcome.PENDING,
    StepStatus.HELD: StepOutcome.PENDING,
    StepStatus.COMPLETED: StepOutcome.SUCCESS,
    StepStatus.SKIPPED: StepOutcome.SKIPPED,
    StepStatus.FAILED: StepOutcome.FAILED,
    StepStatus.COMPENSATED: StepOutcome.COMPENSATED,
    StepStatus.STOOD_DOWN: StepOutcome.FAILED,
    StepStatus.COMPENSATION_FAILED: StepOutcome.FAILED,
    StepStatus.COMPENSATION_SKIPPED: StepOutcome.FAILED,
}


def _step_result(
    definition: SagaDefinition,
    name: str,
    state: SagaState,
    by_key: Mapping[Any, Recorded],
    find: FindContract,
) -> StepResult:
    step = state.steps[name]
    action = definition.by_name[name].action
    completed = by_key.get((name, FactKind.COMPLETED))
    return StepResult(
        name=name,
        action=action,
        status=_step_outcome(step, state, failed=(name, FactKind.FAILED) in by_key),
        output=_output(action, completed.fact.data["output"], find) if completed else None,
        error=Failure.model_validate(step.failure) if step.failure else None,
        attempts=step.attempt,
        started_at=step.started_at,
        ended_at=step.ended_at,
        duration_ms=step.duration_ms,
    )


def _step_outcome(step: StepState, state: SagaState, *, failed: bool) -> StepOutcome:
    if failed:
        return StepOutcome.FAILED
    found = _OF_STATUS.get(step.status, StepOutcome.RUNNING)
    return StepOutcome.SKIPPED if found is StepOutcome.PENDING and state.ended else found


def _output(action: str, data: dict[str, Any], find: FindContract) -> Any:
    contract = find(action)
    if contract is None:
        return data
    try:
        return contract.output.model_validate(data)
    except ValidationError:
        # Stated by another version of the action than this process has.
        return data


def _error(state: SagaState, steps: Mapping[str, StepResult]) -> Failure | None:
    if state.abort is not None:
        if failure := state.abort.get("failure"):
            return Failure.model_validate(failure)
        cause, by = state.abort["cause"], state.abort.get("by", "")
        return Failure(code=f"saga.{cause}", message=f"{by}: {state.abort.get('reason', '')}")
    failed = [step for step in steps.values() if step.status is StepOutcome.FAILED and step.ended_at]
    failed.sort(key=lambda step: (step.ended_at is None, step.ended_at))
    return failed[0].error if failed else None


def _why(error: Failure | None) -> str:
    return f": {error.code}: {error.message}" if error else ""
