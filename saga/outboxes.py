"""Outboxes for participants and for everyone else who writes a database and wants to be heard.

    async with open_outbox(database, bus, definitions, source="/shop") as outbox:
        async with database.transaction() as session:
            session.add(order)
            saga_id = await outbox.start_saga(session, "order", {"item": order.item}, options)
            await outbox.emit(session, OrderPlaced(item=order.item), key=order.id)

Either all of it happens, or nothing: a process that dies after the commit is continued by the next relay.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.events import Event, EventMessage
from contracts.ids import new_saga_id
from events.bus import Bus
from events.clock import Clock, utc_now
from events.database import Database
from events.definitions import Definitions
from events.outbox import Outbox
from events.outbox_relay import Relay, RelaySettings
from events.publish import outgoing
from events.timers import armed_by
from saga.action import Action
from saga.client import SagaClient, StartOptions


class Outboxes:
    """The outboxes of one process's participants, each with its relay."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._open: dict[Database, Outbox] = {}
        self._relays = AsyncExitStack()

    async def open(self, action: Action, database: Database) -> Outbox | None:
        """The outbox of the action's database; None if the action emits nothing."""
        if not action.emits:
            return None
        if database not in self._open:
            source = f"/services/{action.name.partition('.')[0]}"
            outbox = Outbox(database, self._bus.subjects, self._clock, source=source)
            await outbox.create()
            await self._relays.enter_async_context(Relay(self._bus, outbox))
            self._open[database] = outbox
        return self._open[database]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._relays.aclose()


class ServiceOutbox:
    """The outbox of a service that is no participant: events, and starts of sagas."""

    def __init__(self, outbox: Outbox, bus: Bus, client: SagaClient) -> None:
        self._outbox = outbox
        self._bus = bus
        self._client = client

    async def emit(self, session: AsyncSession, event: Event, *, key: str, id: str = "") -> None:
        """Publish an event if and when the transaction commits; with an `id`, once per id.

        Raises InvalidContract, or Conflict if the id was used for something else.
        """
        now, source = self._outbox.now(), self._outbox.source
        message = EventMessage.of(event, id=id or new_saga_id(), key=key, source=source, time=now)
        await self._outbox.add_event(session, message)

    async def start_saga(
        self,
        session: AsyncSession,
        definition: str,
        input: dict[str, Any],
        options: StartOptions | None = None,
    ) -> str:
        """Start a saga if and when the transaction commits; its id. Once per idempotency key.

        Raises NotFound (no such definition), InvalidInput, Conflict (the key was used before, for another
        input or definition; if that was elsewhere, the refusal is noted in the outbox's row and logged).
        """
        start = await self._client.prepare(definition, input, options)
        fact = outgoing(start.subject, start.fact, start.fence)
        await self._outbox.add_message(session, start.fact.id, fact)
        if start.timer is not None:
            timer = armed_by(self._bus.names, start.timer)
            await self._outbox.add_message(session, f"{start.saga_id}.deadline", timer)
        return start.saga_id


@asynccontextmanager
async def open_outbox(
    database: Database,
    bus: Bus,
    definitions: Definitions,
    *,
    source: str,
    settings: RelaySettings | None = None,
    clock: Clock = utc_now,
) -> AsyncIterator[ServiceOutbox]:
    """The outbox of a database, its tables created, its relay running until the block ends."""
    outbox = Outbox(database, bus.subjects, clock, source=source)
    await outbox.create()
    async with Relay(bus, outbox, settings):
        yield ServiceOutbox(outbox, bus, SagaClient(bus, definitions, clock))
