"""Workflows of the catalogue, as the client has them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from saga.api.metrics import WorkflowMetrics
from saga.remote.executions import RemoteExecution, RunOptions, run
from saga.remote.transport import Transport, route


class RemoteWorkflow:
    """One workflow, whether it exists or not."""

    def __init__(self, transport: Transport, name: str) -> None:
        self.name = name
        self._transport = transport

    async def execute(
        self,
        input: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        labels: Mapping[str, str] | None = None,
        correlation_id: str = "",
        deadline_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> RemoteExecution:
        """Run it, in the version that new executions get now, or in that one.

        Raises RemoteNotFound, RemoteConflict (it is not ACTIVE, or the key started something else), RemoteInvalid
        with pointers into the input.
        """
        options = RunOptions(
            labels=labels,
            correlation_id=correlation_id,
            deadline_s=deadline_s,
            idempotency_key=idempotency_key,
        )
        told = {"input": dict(input or {}), "version": version}
        return await run(self._transport, route("workflows", self.name, "execute"), told, options)

    async def metrics(
        self, *, started_after: datetime | None = None, started_before: datetime | None = None
    ) -> WorkflowMetrics:
        """How its executions fare, by version. Raises RemoteNotFound."""
        query = {"started_after": started_after, "started_before": started_before}
        answer = await self._transport.ask("GET", route("workflows", self.name, "metrics"), query=query)
        return WorkflowMetrics.model_validate(answer.body)


class Workflows:
    """All workflows. `api.workflows["orders"]` is one of them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getitem__(self, name: str) -> RemoteWorkflow:
        return RemoteWorkflow(self._transport, name)
