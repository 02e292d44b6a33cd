"""The nine-step no-op chain through the full runtime: contracts, fences, guards' rules, and the saga log."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from benchmarks.chain import STEPS, Ended
from contracts.definition import SagaDefinition, Step
from events.bus import Bus
from events.definitions import Definitions
from events.settings import BusSettings
from events.streams import declare
from saga.action import Action, ActionContext, action
from saga.api.app import open_parts
from saga.api.parts import Parts
from saga.client import SagaClient
from saga.service import ServiceSettings, serve, settle
from saga.topology import consumers_for


class Value(BaseModel):
    value: int


def definition() -> SagaDefinition:
    """Each step passes on the value of the step before it."""
    steps = []
    for index, name in enumerate(STEPS):
        source = f"steps.{STEPS[index - 1]}.value" if index else "input.value"
        after = (STEPS[index - 1],) if index else ()
        steps.append(Step(name=name, action=f"bench.{name}", after=after, input={"value": f"${{{source}}}"}))
    return SagaDefinition(name="chain", steps=tuple(steps))


def actions(ended: Ended) -> list[Action]:
    """No-op actions; the last one tells that its saga has come through."""

    def make(name: str, last: bool) -> Action:
        @action(f"bench.{name}")
        async def run(ctx: ActionContext, command: Value) -> Value:
            if last:
                ended(ctx.saga_id)
            return Value(value=command.value + 1)

        return run

    return [make(name, name == STEPS[-1]) for name in STEPS]


@dataclass(frozen=True, slots=True)
class System:
    """How to start a chain, and how to wait until the log has written everything down."""

    client: SagaClient
    parts: Parts | None

    async def start(self) -> str:
        return (await self.client.start("chain", {"value": 1})).saga_id

    async def caught_up(self) -> None:
        """Wait for the log in this process."""
        assert self.parts is not None
        await self.parts.log.caught_up()


@asynccontextmanager
async def running(url: str, data: Path, ended: Ended, *, log_inside: bool) -> AsyncIterator[System]:
    """The nine participants and the starter in this process; the saga log inside it, or as `saga serve log`."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await Bus.connect(BusSettings(url=url)))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        await definitions.publish(definition(), consumers_for)
        settings = ServiceSettings(data=data)
        await stack.enter_async_context(serve(actions(ended), bus, definitions, settings, environment={}))
        parts = None
        if log_inside:
            log_url = f"sqlite+aiosqlite:///{data / 'log.db'}"
            parts = await stack.enter_async_context(open_parts(bus, definitions, log_url))
        else:
            await stack.enter_async_context(_log_process(url, data))
        # As every process that serves does when it has started.
        settle()
        yield System(SagaClient(bus, definitions), parts)


@asynccontextmanager
async def _log_process(url: str, data: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "saga.cli.main", "serve", "log", "--port", "0",
        env=os.environ | {"NATS_URL": url, "SAGA_DATA": str(data)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while "saga log on" not in (await process.stderr.readline()).decode():
                assert process.returncode is None, "saga serve log has ended"
        yield
    finally:
        process.terminate()
        await process.wait()
