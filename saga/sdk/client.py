"""Starting workflows from a program: `async with connect() as client: handle = await client.start(workflow)`."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from contracts import failure
from contracts.definition import SagaDefinition
from contracts.directives import NO_DIRECTIVES, Directives
from contracts.failure import NotFound
from contracts.policies import NO_POLICIES, lacking
from events.bus import Bus
from events.definitions import Definitions
from events.read import read_saga
from events.settings import BusSettings
from events.streams import declare
from saga import registry
from saga.client import SagaClient, StartOptions, input_model
from saga.policies import policy_of
from saga.sdk.handle import WorkflowHandle
from saga.topology import consumers_for

USER_LABEL = "user_id"


class Forbidden(failure.Forbidden):
    """Whoever starts it has not the permissions that its steps need."""

    code = "saga.forbidden"


class Client:
    """Starts workflows on a bus. Open one with `connect` or `local`."""

    def __init__(self, bus: Bus, definitions: Definitions) -> None:
        self._bus = bus
        self._definitions = definitions
        self.sagas = SagaClient(bus, definitions)
        self._known: set[tuple[str, str]] = set()

    async def start(
        self,
        workflow: SagaDefinition | str,
        *,
        user_id: str = "",
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        directives: Directives | None = None,
    ) -> WorkflowHandle:
        """Start a workflow: a definition (published first, if it is new), or the name of one that is known.

        `context` is the input that `${input...}` refers to; a `user_id` becomes a part of it, where the definition
        allows for one, a label, and what actions see as `ctx.user_id`. `directives`: the session it belongs to, the
        permissions of the user, which hooks to skip, whether to run dry, how much to trace.

        A repeat with the same key starts nothing and gives the same handle. Raises NotFound (no such definition),
        InvalidInput with pointers, InvalidDefinition, Forbidden (a step needs a permission that is not among those
        given), Conflict (the version exists with another content, or the key
        started something else).
        """
        definition = await self._published(workflow)
        given, told = dict(context or {}), dict(labels or {})
        if user_id:
            told[USER_LABEL] = user_id
            if _takes_user(definition):
                given.setdefault(USER_LABEL, user_id)
        wanted = directives or NO_DIRECTIVES
        if user_id:
            wanted = wanted.model_copy(update={"user": user_id})
        _check_permissions(definition, wanted)
        options = StartOptions(idempotency_key=idempotency_key, labels=told, directives=wanted)
        started = await self.sagas.start(definition.ref, given, options)
        return WorkflowHandle(self._bus, self.sagas, definition, started.saga_id, user_id)

    async def handle(self, saga_id: str, *, user_id: str = "") -> WorkflowHandle:
        """The handle of a workflow that was started before, by whomever. Raises NotFound."""
        facts = await read_saga(self._bus, saga_id)
        definition = await self._definitions.fetch(facts[0].fact.definition) if facts else None
        if definition is None:
            raise NotFound(f"no saga {saga_id}")
        return WorkflowHandle(self._bus, self.sagas, definition, saga_id, user_id)

    async def _published(self, workflow: SagaDefinition | str) -> SagaDefinition:
        if isinstance(workflow, SagaDefinition):
            # Asking whether all of its consumers stand costs a request each: once is enough.
            known = (workflow.ref, workflow.content_hash)
            if known not in self._known:
                await self._definitions.publish(workflow, consumers_for)
                self._known.add(known)
            return workflow
        found = (
            await self._definitions.fetch(workflow) if "@" in workflow else self._definitions.latest(workflow)
        )
        if found is None:
            raise NotFound(f"no definition {workflow!r}: publish it, or start it as built")
        return found


def _check_permissions(definition: SagaDefinition, directives: Directives) -> None:
    """What is known here of what the steps need; their participants know it all, and check it again."""
    for index, step in enumerate(definition.steps):
        contract = registry.find(step.action)
        wanted = policy_of(contract, NO_POLICIES, step).policy.permissions if contract else ()
        if missing := lacking(wanted or (), directives.permissions):
            raise Forbidden(f"/steps/{index}: {step.action} needs {', '.join(missing)}")


def quiet() -> None:
    """Unless the program has configured its logs, only warnings are shown."""
    if not structlog.is_configured():
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def _takes_user(definition: SagaDefinition) -> bool:
    """Whether its input may have a field for the user."""
    model, schema = input_model(definition), definition.input_schema or {}
    if model is not None:
        return USER_LABEL in model.model_fields
    return USER_LABEL in schema.get("properties", {}) or schema.get("additionalProperties", True) is not False


@asynccontextmanager
async def connect(url: str | None = None) -> AsyncIterator[Client]:
    """A client on the server at `url` (`nats://host:port`), else on that of `NATS_URL` and `SAGA_BUS_*`.

    Raises Unusable if none answers.
    """
    quiet()
    settings = BusSettings(url=url) if url else BusSettings()
    async with await Bus.connect(settings) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            yield Client(bus, definitions)
