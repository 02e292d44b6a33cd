"""The shapes of executions in answers. Times are RFC 3339 in UTC, durations milliseconds."""

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from saga.api.models import SignalRequest, StepAnswer
from saga.executions import ExecutionStatus, execution_status
from saga.state import SagaStatus


class ExecutionStarted(BaseModel):
    """`created` is false if the same Idempotency-Key had started it before."""

    execution_id: str
    workflow: str
    version: str
    status: ExecutionStatus = ExecutionStatus.PENDING
    sequence: int
    created: bool


class ExecutionSummary(BaseModel):
    """`state` is the saga's status, which tells more of a RUNNING one; null while it is PENDING."""

    execution_id: str
    workflow: str
    version: str
    status: ExecutionStatus
    state: SagaStatus | None
    correlation_id: str
    started_at: AwareDatetime
    updated_at: AwareDatetime
    ended_at: AwareDatetime | None
    duration_ms: float | None
    sequence: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> "ExecutionSummary":
        return cls(**summary(row))


class ExecutionPage(BaseModel):
    items: list[ExecutionSummary]
    next_cursor: str | None
    as_of_sequence: int


class Execution(ExecutionSummary):
    input: dict[str, Any] | None
    abort: dict[str, Any] | None
    labels: dict[str, str]
    steps: list[StepAnswer]
    as_of_sequence: int


class ExecutionTold(BaseModel):
    """`sequence` is that of the fact; the participants act on it."""

    execution_id: str
    sequence: int


class ExecutionSignal(SignalRequest):
    """What the step that waits is told, and by whom."""

    step: str = Field(min_length=1, max_length=64)


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a summary, of a row of the log."""
    state = SagaStatus(row["status"])
    return {
        "execution_id": row["saga_id"],
        "workflow": row["name"],
        "state": state,
        **{name: row[name] for name in _SAME},
        "status": execution_status(state, row["abort_cause"]),
    }


_SAME = ("version", "correlation_id", "started_at", "updated_at", "ended_at", "duration_ms", "sequence")
