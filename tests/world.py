"""A small world for sagas: actions whose behaviour a test sets, and a system that runs them on a real server."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contracts.definition import SagaDefinition
from contracts.facts import FactKey, Recorded
from events.bus import Bus
from events.deadletters import read_dead_letters
from events.deadletters_codec import DeadLetter
from events.definitions import Definitions
from events.read import follow, read_saga, watch
from saga.action import Action, ActionContext, action
from saga.client import SagaClient
from saga.participant import Participant
from saga.service import ServiceSettings, serve
from saga.state import SagaState, SagaStatus, fold
from saga.topology import consumers_for


class Number(BaseModel):
    value: int = 0


type Behaviour = Callable[[ActionContext, Number], Awaitable[Number]]


@dataclass
class World:
    """What happened, and what each action shall do."""

    done: list[str] = field(default_factory=list)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    undo_behaviours: dict[str, Callable[[ActionContext], Awaitable[None]]] = field(default_factory=dict)

    def action(self, name: str, *, compensable: bool = True, **options: Any) -> Action:
        @action(f"test.{name}", **options)
        async def do(ctx: ActionContext, command: Number) -> Number:
            self.done.append(f"do {ctx.step}")
            behaviour = self.behaviours.get(ctx.step)
            return await behaviour(ctx, command) if behaviour else Number(value=command.value + 1)

        if compensable:

            @do.compensation
            async def undo(ctx: ActionContext, command: Number, output: Number | None) -> None:
                self.done.append(f"undo {ctx.step}")
                if behaviour := self.undo_behaviours.get(ctx.step):
                    await behaviour(ctx)

        return do

    def times(self, what: str) -> int:
        return Counter(self.done)[what]


class Running:
    """A running system: start sagas, wait for states, read facts."""

    def __init__(self, bus: Bus, definitions: Definitions, data: Path) -> None:
        self.bus = bus
        self.definitions = definitions
        self.data = data
        self.client = SagaClient(bus, definitions)
        self._participants: list[Participant] = []

    async def publish(self, definition: SagaDefinition) -> None:
        await self.definitions.publish(definition, consumers_for)

    @asynccontextmanager
    async def serving(self, *actions: Action, hooks: Any = (), **settings: Any) -> AsyncIterator[None]:
        chosen = ServiceSettings(data=self.data, grace_s=0, **settings)
        serving = serve(actions, self.bus, self.definitions, chosen, environment={}, hooks=hooks)
        async with serving as self._participants:
            yield

    async def intervened(self, saga_id: str, timeout_s: float = 20) -> None:
        """Wait until the participants have heard that somebody intervened in a saga."""
        async with asyncio.timeout(timeout_s):
            while not all(participant.reads_first(saga_id) for participant in self._participants):
                await asyncio.sleep(0.005)

    async def start(self, definition: SagaDefinition, **input: Any) -> str:
        return (await self.client.start(definition.ref, input)).saga_id

    async def facts(self, saga_id: str) -> list[Recorded]:
        return await read_saga(self.bus, saga_id)

    async def state(self, definition: SagaDefinition, saga_id: str) -> SagaState:
        return fold(definition, await self.facts(saga_id))

    async def until(
        self,
        definition: SagaDefinition,
        saga_id: str,
        holds: Callable[[SagaState], bool],
        timeout_s: float = 20,
    ) -> SagaState:
        """The saga's state as soon as it fulfils a condition, looked at after every fact."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asyncio.timeout(timeout_s))
            facts = follow(self.bus, 0, 0, pause_s=0.005)
            stack.push_async_callback(facts.aclose)
            async for _ in facts:
                state = await self.state(definition, saga_id)
                if holds(state):
                    return state
        raise AssertionError("unreachable")

    async def ended(self, definition: SagaDefinition, saga_id: str) -> SagaState:
        return await self.until(
            definition, saga_id, lambda state: state.ended or state.status == SagaStatus.WAITING
        )

    async def stated(self, saga_id: str, key: FactKey, timeout_s: float = 20) -> None:
        """Wait until a saga has said this."""
        subject = self.bus.subjects.all_of_id(saga_id)
        async with asyncio.timeout(timeout_s), aclosing(watch(self.bus, 0, [subject])) as batches:
            async for _ in batches:
                if key in {one.fact.key for one in await self.facts(saga_id)}:
                    return

    async def letters(self, count: int, timeout_s: float = 20) -> list[DeadLetter]:
        """The dead letters, as soon as there are so many."""
        subscription = await self.bus.jetstream.subscribe(f"{self.bus.names.dead_letter_root}.>")
        try:
            for _ in range(count):
                await subscription.next_msg(timeout=timeout_s)
        finally:
            await subscription.unsubscribe()
        return await read_dead_letters(self.bus)
