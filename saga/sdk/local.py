"""Workflows in one process: an embedded nats-server, and the participants that a workflow needs, when it needs them.

The same participants, facts and rules as on a bus of many processes; only nobody else is there. With `data` a
workflow that was under way when the process ended goes on when its definition is started again.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from contracts.actions import DOMAINS
from contracts.definition import SagaDefinition
from events.bus import Bus
from events.definitions import Definitions
from events.embedded import server
from events.settings import BusSettings
from events.streams import declare
from saga import registry
from saga.action import Action
from saga.domains import domain_actions
from saga.hooks import Hook, OpenHook
from saga.sdk.client import Client, quiet
from saga.sdk.handle import WorkflowHandle
from saga.service import ServiceSettings, serve

_OPERATOR_URL = "SAGA_OPERATOR_URL"


class LocalClient(Client):
    """A client that serves what the workflows it starts need."""

    def __init__(
        self,
        bus: Bus,
        definitions: Definitions,
        stack: AsyncExitStack,
        data: Path,
        hooks: Sequence[Hook | OpenHook],
    ) -> None:
        super().__init__(bus, definitions)
        self._stack = stack
        self._settings = ServiceSettings(data=data)
        self._hooks = hooks
        self._served: set[str] = set()

    async def start(self, workflow: SagaDefinition | str, **options: Any) -> WorkflowHandle:
        """As `Client.start`. Raises NotFound, too, if a step's action is declared nowhere in this process."""
        await self._serve(await self._published(workflow))
        return await super().start(workflow, **options)

    async def prepare(self, definition: SagaDefinition) -> None:
        """Publish a definition and serve what it needs, as for one that others start. Raises as `start`."""
        await self._serve(await self._published(definition))

    async def _serve(self, definition: SagaDefinition) -> None:
        wanted = {step.action: registry.implementation(step.action) for step in definition.steps}
        actions: dict[str, Action] = {}
        for name, action in wanted.items():
            domain = name.partition(".")[0]
            # A domain's steps share databases, so they are served together.
            found = domain_actions(domain) if domain in DOMAINS else [action]
            actions |= {one.name: one for one in found if one.name not in self._served}
        if not actions:
            return
        environment = await self._environment({name.partition(".")[0] for name in actions})
        await self._stack.enter_async_context(
            serve(
                list(actions.values()),
                self._bus,
                self._definitions,
                self._settings,
                environment=environment,
                hooks=self._hooks,
            )
        )
        self._served |= actions.keys()

    async def _environment(self, domains: set[str]) -> Mapping[str, str]:
        """The environment, and where the sandboxes are that stand for the outside of these domains."""
        environment = dict(os.environ)
        for domain in sorted(domains & set(DOMAINS)):
            module = getattr(import_module(f"services.{domain}"), "SANDBOX", None)
            if module is not None and _OPERATOR_URL not in environment:
                sandbox: AbstractAsyncContextManager[str] = import_module(module).serve_sandbox(
                    self._settings.data / f"{module.rpartition('.')[2]}.db", host="127.0.0.1", port=0
                )
                environment[_OPERATOR_URL] = await self._stack.enter_async_context(sandbox)
        return environment


@asynccontextmanager
async def local(
    data: Path | str | None = None, *, hooks: Sequence[Hook | OpenHook] = ()
) -> AsyncIterator[LocalClient]:
    """A client with an embedded server. `data` is kept; without it a folder is used that goes with the block.

    `hooks` are run around every step.

    Raises Unusable if there is no nats-server to embed.
    """
    quiet()
    folder = Path(tempfile.mkdtemp(prefix="saga-local-")) if data is None else Path(data)
    # What goes with the block need not survive the machine.
    sync = "2m" if data is None else "always"
    without_url = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    try:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(server(without_url, folder / "nats", sync_interval=sync))
            bus = await stack.enter_async_context(await Bus.connect(BusSettings(url=url)))
            await declare(bus)
            definitions = await stack.enter_async_context(Definitions.open(bus))
            yield LocalClient(bus, definitions, stack, folder, hooks)
    finally:
        if data is None:
            await asyncio.to_thread(shutil.rmtree, folder, True)
