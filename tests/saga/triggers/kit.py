"""What the tests of triggers share: a workflow in a catalogue, triggers over it, and their history as it grows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.facts import STARTED_KEY
from contracts.triggers import Firing, Outcome, Trigger, parse_trigger
from events.bus import Bus
from events.clock import Clock, utc_now
from events.read import watch_stream
from events.triggers import KeptTrigger, firings
from saga.triggers.firing import Firer
from saga.triggers.keeping import Triggers
from saga.triggers.runner import TriggerRunner
from saga.workflows.catalogue import Catalogue, Words
from tests.saga.workflows.documents import workflow
from tests.world import Running

ADA = Words(by="ada", reason="because")


def trigger(kind: str = "MANUAL", name: str = "orders-in", **fields: Any) -> Trigger:
    return parse_trigger({"kind": kind, "name": name, "workflow": "orders", **fields})


def on_event(name: str = "orders-in", event: str = "shop.ordered", **fields: Any) -> Trigger:
    return trigger("EVENT", name, event=event, **fields)


@dataclass
class Hand:
    """A clock that is set by hand."""

    now: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Starts:
    """Triggers over a catalogue that has the workflow `orders`."""

    running: Running
    catalogue: Catalogue
    triggers: Triggers
    firer: Firer

    @property
    def bus(self) -> Bus:
        return self.running.bus

    async def create(self, wanted: Trigger) -> KeptTrigger:
        return await self.triggers.create(wanted, ADA)

    @asynccontextmanager
    async def runner(self, *names: str, clock: Clock = utc_now) -> AsyncIterator[TriggerRunner]:
        """A runner, as soon as it listens for these EVENT triggers."""
        async with TriggerRunner(self.bus, self.catalogue, clock) as runner:
            async with asyncio.timeout(20):
                while not all(map(runner.listens_to, names)):
                    await asyncio.sleep(0.01)
            yield runner

    async def fired(self, name: str, count: int) -> list[Firing]:
        """The history of a trigger, newest first, as soon as it tells of so many."""
        subject = [self.bus.names.firing(name)]
        async with (
            asyncio.timeout(20),
            aclosing(watch_stream(self.bus, self.bus.names.firings, subject)) as batches,
        ):
            seen = 0
            async for batch in batches:
                seen += len(batch)
                if seen >= count:
                    break
        return [firing for _, firing in await firings(self.bus, name)]

    async def inputs(self, name: str) -> list[Any]:
        """The input of every saga that a trigger has started, oldest first."""
        found = []
        for _, firing in reversed(await firings(self.bus, name)):
            if firing.outcome == Outcome.STARTED:
                facts = await self.running.facts(firing.saga_id)
                (started,) = [one.fact for one in facts if one.fact.key == STARTED_KEY]
                found.append(started.data["input"])
        return found


@asynccontextmanager
async def starting(running: Running) -> AsyncIterator[Starts]:
    """A catalogue with an active workflow, and triggers over it."""
    async with (
        Catalogue.open(running.bus, running.definitions, running.client) as catalogue,
        Triggers.open(running.bus, catalogue, running.definitions) as triggers,
    ):
        await catalogue.create(workflow(), ADA, activate=True)
        yield Starts(running, catalogue, triggers, Firer(running.bus, catalogue))
