"""The nine-step no-op chain through the full runtime: contracts, fences, guards' rules, and the saga log."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import BaseModel

from benchmarks.chain import STEPS, Ended
from contracts.definition import SagaDefinition, Step
from events.bus import Bus
from events.definitions import Definitions
from events.settings import BusSettings
from events.streams import declare
from saga.api.app import open_parts
from saga.action import Action, ActionContext, action
from saga.client import SagaClient
from saga.service import ServiceSettings, serve
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


@asynccontextmanager
async def running(url: str, data: Path, ended: Ended, *, log: bool = True) -> AsyncIterator[SagaClient]:
    """Everything in this process: the nine participants, the starter and the saga log."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await Bus.connect(BusSettings(url=url)))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        await definitions.publish(definition(), consumers_for)
        await stack.enter_async_context(
            serve(actions(ended), bus, definitions, ServiceSettings(data=data), environment={})
        )
        if log:
            log_url = f"sqlite+aiosqlite:///{data / 'log.db'}"
            await stack.enter_async_context(open_parts(bus, definitions, log_url))
        yield SagaClient(bus, definitions)
