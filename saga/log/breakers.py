"""What happened to circuit breakers, as rows: each event once, with the position in the same transaction.

After a crash, rows and position go back together, and the stream is read again from there.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Self

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from contracts.breakers import BreakerEvent
from contracts.failure import InvalidContract
from events.breakers import follow_breaker_events
from events.bus import Bus
from events.database import Database, one_at_a_time
from events.read import StreamMessage
from saga.log.tables import BreakerEventRow, BreakerPositionRow, table_of
from saga.log.write import Statements

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
_EVENTS, _POSITION = table_of(BreakerEventRow), table_of(BreakerPositionRow)


class BreakerLog:
    """Applies the events of breakers to the log's database while its context is open."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self._bus = bus
        self._database = database
        self._stream = bus.names.breaker_events
        self._statements = Statements(database.engine.dialect)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="breaker log")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    async def position(self) -> int:
        """The sequence of the last event applied; 0 if there is none."""
        async with self._database.reading() as connection:
            found = await connection.execute(_position_of(self._stream))
            return int(found.scalar() or 0)

    async def apply(self, messages: Sequence[StreamMessage]) -> int:
        """Apply events in stream order, all or none; how many were new. Those applied before are passed over."""
        async with self._database.engine.begin() as connection:
            await one_at_a_time(connection, "apply events of breakers")
            position = int((await connection.execute(_position_of(self._stream))).scalar() or 0)
            fresh = [message for message in messages if message.sequence > position]
            if not fresh:
                return 0
            rows = [row for message in fresh if (row := _row(message)) is not None]
            if rows:
                # The same event may be stated again when the stream has grown too old to tell.
                await self._statements.of(_EVENTS, rows[0], upsert=True).run(connection, rows)
            moved = {"stream": self._stream, "sequence": fresh[-1].sequence}
            await self._statements.of(_POSITION, moved, upsert=True).run(connection, [moved])
        return len(rows)

    async def recent(self, name: str, limit: int) -> list[dict[str, Any]]:
        """The newest events of a breaker, newest first."""
        query = select(_EVENTS).where(_EVENTS.c.name == name).order_by(_EVENTS.c.revision.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]

    async def _follow(self) -> None:
        while True:
            try:
                position = await self.position()
                async with aclosing(follow_breaker_events(self._bus, position)) as batches:
                    async for messages in batches:
                        await self.apply(messages)
            except (SQLAlchemyError, OSError) as error:
                log.error("breaker_log.database_failed", error=str(error), again_in_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)


def _position_of(stream: str) -> Any:
    return select(_POSITION.c.sequence).where(_POSITION.c.stream == stream)


def _row(message: StreamMessage) -> dict[str, Any] | None:
    try:
        event = BreakerEvent.decode(message.payload)
    except InvalidContract as error:
        log.error("breaker_log.rejected", sequence=message.sequence, reason=str(error))
        return None
    return {
        "name": event.name,
        "revision": event.revision,
        "sequence": message.sequence,
        "kind": event.kind.value,
        "state": event.state.value,
        "previous": event.previous.value,
        "failures": event.failures,
        "time": event.time,
        "by": event.by,
        "reason": event.reason,
        "config": event.config.model_dump(mode="json") if event.config else None,
    }
