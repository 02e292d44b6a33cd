"""Executions as the client has them: those it has started, and those it looks for."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from contracts.children import PARENT
from contracts.failure import SagaError
from saga.api.execution_models import Execution, ExecutionStarted, ExecutionSummary, ExecutionTold
from saga.executions import ExecutionStatus
from saga.remote.transport import Transport, route

_GOING_ON = (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)


class ExecutionFailed(SagaError):
    """An execution ended as FAILED, CANCELLED or COMPENSATED; `execution` tells all of it."""

    code = "execution.failed"

    def __init__(self, execution: Execution) -> None:
        abort = execution.abort or {}
        failure = abort.get("failure") or {}
        why = failure.get("message") or abort.get("reason") or abort.get("cause") or "a step failed for good"
        super().__init__(f"execution {execution.execution_id} is {execution.status}: {why}")
        self.execution = execution


class RunOptions(TypedDict, total=False):
    """What may go with an execution besides its input. With an `idempotency_key` a repeat finds the first one;
    `deadline_s` (seconds) counts instead of the workflow's."""

    labels: dict[str, str]
    correlation_id: str
    deadline_s: float
    idempotency_key: str


async def run(
    transport: Transport, path: str, told: Mapping[str, Any], options: RunOptions
) -> "RemoteExecution":
    """Start an execution. Raises RemoteError."""
    body: dict[str, Any] = {**told, **options}
    key = body.pop("idempotency_key", None)
    answer = await transport.ask("POST", path, body=body, headers={"Idempotency-Key": key})
    started = ExecutionStarted.model_validate(answer.body)
    return RemoteExecution(transport, started.execution_id, started)


class RemoteExecution:
    """One execution. `started` is the answer to its start, None if somebody else has started it."""

    def __init__(self, transport: Transport, id: str, started: ExecutionStarted | None = None) -> None:
        self.id = id
        self.started = started
        self._transport = transport

    async def get(self) -> Execution:
        """How it stands. Raises RemoteNotFound."""
        return Execution.model_validate((await self._transport.ask("GET", route("executions", self.id))).body)

    async def ended(self, timeout_s: float) -> Execution:
        """How it has ended, as soon as it has. Raises RemoteNotFound, WaitTimeout."""

        def over(execution: dict[str, Any]) -> bool:
            return execution["status"] not in _GOING_ON

        return Execution.model_validate(await self._transport.until(self.id, over, timeout_s))

    async def result(self, timeout_s: float) -> dict[str, Any]:
        """The outputs of its steps, by name, as soon as it has completed; None of a step that was skipped.

        Raises ExecutionFailed (it ended otherwise), RemoteNotFound, WaitTimeout.
        """
        execution = await self.ended(timeout_s)
        if execution.status != ExecutionStatus.COMPLETED:
            raise ExecutionFailed(execution)
        return {step.name: step.output for step in execution.steps}

    async def cancel(self, *, by: str, reason: str) -> ExecutionTold:
        """Turn it round. Raises RemoteNotFound, RemoteConflict (ended, aborted already or past its pivot)."""
        return await self._tell("cancel", {"by": by, "reason": reason})

    async def signal(self, step: str, payload: Mapping[str, Any] | None = None, *, by: str) -> ExecutionTold:
        """Give a step the signal it waits for, or will wait for. Raises RemoteNotFound, RemoteConflict."""
        return await self._tell("signal", {"step": step, "by": by, "payload": dict(payload or {})})

    def children(self) -> AsyncIterator[ExecutionSummary]:
        """What its steps have started beside themselves, newest first."""
        return Executions(self._transport).all(parent=self.id)

    async def _tell(self, what: str, body: dict[str, Any]) -> ExecutionTold:
        answer = await self._transport.ask("POST", route("executions", self.id, what), body=body)
        return ExecutionTold.model_validate(answer.body)


class Executions:
    """All executions. `api.executions["0198..."]` is one of them, whether it exists or not."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getitem__(self, id: str) -> RemoteExecution:
        return RemoteExecution(self._transport, id)

    def all(
        self,
        *,
        workflow: str | None = None,
        version: str | None = None,
        status: Iterable[ExecutionStatus] = (),
        labels: Mapping[str, str] | None = None,
        parent: str | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
    ) -> AsyncIterator[ExecutionSummary]:
        """Newest first, page by page; children only of a `parent`. Raises RemoteError while it is read."""
        query = {
            "workflow": workflow,
            "version": version,
            "status": list(status),
            "label": [f"{name}:{value}" for name, value in (labels or {}).items()],
            PARENT: parent,
            "started_after": started_after,
            "started_before": started_before,
        }
        return self._transport.all(route("executions"), ExecutionSummary, query)
