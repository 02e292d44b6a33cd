"""The HTTP API from Python.

    async with connect("http://127.0.0.1:8900") as api:
        execution = await api.workflows["orders"].execute({"order": 7}, idempotency_key="order-7")
        outputs = await execution.result(timeout_s=60)

What the API refuses is raised as one of `saga.remote.errors`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from saga.api.orchestration_health import OrchestrationHealth
from saga.remote.breakers import Breakers
from saga.remote.executions import Executions
from saga.remote.integrations import TransformationRules, Webhooks
from saga.remote.orchestrations import Orchestrations
from saga.remote.templates import Templates
from saga.remote.transport import Transport, route
from saga.remote.triggers import Triggers
from saga.remote.workflows import Workflows


class Api:
    """What the API has, by kind; `connect` opens it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.workflows = Workflows(transport)
        self.templates = Templates(transport)
        self.executions = Executions(transport)
        self.orchestrations = Orchestrations(transport)
        self.triggers = Triggers(transport)
        self.breakers = Breakers(transport)
        self.webhooks = Webhooks(transport)
        self.transformation_rules = TransformationRules(transport)

    async def health(self) -> OrchestrationHealth:
        """How the whole stands, also when it is down. Raises RemoteUnavailable if the API itself is away."""
        answer = await self._transport.ask("GET", route("orchestration", "health"), accept=(503,))
        return OrchestrationHealth.model_validate(answer.body)


@asynccontextmanager
async def connect(url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Api]:
    """A session with the API at a URL. `headers` go with every request, for what stands before it and asks for them."""
    transport = Transport(url, headers)
    try:
        yield Api(transport)
    finally:
        await transport.close()
