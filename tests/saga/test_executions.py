"""What an execution is called, of a saga in every status."""

import pytest

from saga.executions import ExecutionStatus, execution_status
from saga.state import SagaStatus


@pytest.mark.parametrize(
    ("status", "cause", "expected"),
    [
        ("running", None, "RUNNING"),
        ("paused", None, "RUNNING"),
        ("waiting", None, "RUNNING"),
        ("compensating", "cancel", "RUNNING"),
        ("completed", None, "COMPLETED"),
        ("completed", "cancel", "COMPLETED"),
        ("compensated", None, "COMPENSATED"),
        ("compensated", "cancel", "CANCELLED"),
        ("failed", None, "FAILED"),
        ("failed", "deadline", "FAILED"),
        ("compensated", "parent", "COMPENSATED"),
        ("failed", "cancel", "CANCELLED"),
    ],
)
def test_a_status_follows_from_the_sagas(status: str, cause: str | None, expected: str) -> None:
    assert execution_status(SagaStatus(status), cause) == ExecutionStatus(expected)
