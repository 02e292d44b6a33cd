"""Executions: sagas in the words of those who run workflows.

PENDING     the start is stored, and the log has not heard of it
RUNNING     it has not ended: also one that is paused, waits or is being undone
COMPLETED   it has done what it should
FAILED      it ended neither done nor undone
CANCELLED   somebody cancelled it, and it has ended
COMPENSATED it was undone, by a failed step, a deadline or its parent
"""

from enum import StrEnum

from saga.state import SagaStatus


class ExecutionStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    COMPENSATED = "COMPENSATED"


CANCEL = "cancel"
"""The cause of an abort that somebody wanted"""

TURNED_ROUND = frozenset({SagaStatus.COMPENSATED, SagaStatus.FAILED})
_ENDS = {
    SagaStatus.COMPLETED: ExecutionStatus.COMPLETED,
    SagaStatus.FAILED: ExecutionStatus.FAILED,
    SagaStatus.COMPENSATED: ExecutionStatus.COMPENSATED,
}


def execution_status(status: SagaStatus, abort_cause: str | None) -> ExecutionStatus:
    """The status of an execution that the log knows."""
    # A cancel that came too late for a saga that has completed changes nothing.
    if abort_cause == CANCEL and status in TURNED_ROUND:
        return ExecutionStatus.CANCELLED
    return _ENDS.get(status, ExecutionStatus.RUNNING)
