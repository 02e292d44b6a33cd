"""Workflows that are sent to be run, and kept in no catalogue."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Unpack

from saga.api.execution_models import Execution, ExecutionSummary
from saga.remote.executions import RemoteExecution, RunOptions, run
from saga.remote.transport import Transport, route


class Orchestrations:
    """What was sent, and has not ended."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def run(
        self,
        workflow: Mapping[str, Any],
        input: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> RemoteExecution:
        """Run a workflow document. Raises RemoteInvalid with all that is wrong, RemoteConflict (key)."""
        told = {"workflow": dict(workflow), "input": dict(input or {})}
        return await run(self._transport, route("orchestrations"), told, options)

    def active(self) -> AsyncIterator[ExecutionSummary]:
        """Those that have not ended, newest first."""
        return self._transport.all(route("orchestrations", "active"), ExecutionSummary)

    async def get(self, id: str) -> Execution:
        """One that has not ended. Raises RemoteNotFound."""
        answer = await self._transport.ask("GET", route("orchestrations", "active", id))
        return Execution.model_validate(answer.body)
