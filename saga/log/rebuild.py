"""A log from nothing but facts: the stream's, and those that only an older log still keeps.

Resumable, because the position is kept with the rows: what was stopped or killed goes on where it was. The
database that is filled is nobody else's; no outcome is stated, no message buried, no timer touched.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from sqlalchemy import insert, select

from events.bus import Bus
from events.database import Database
from events.read import StreamMessage, first_sequence, follow, last_sequence
from saga.log.project import KnowsDefinitions, Projector
from saga.log.tables import BreakerEventRow, BreakerPositionRow, FactRow, RejectedRow, table_of

# Large, so that a saga's rows are written once for several of its facts.
_PAGE = 10_000
_BURST = 1000
_PAUSE_S = 0.001
_FACTS, _REJECTED = table_of(FactRow), table_of(RejectedRow)
_BREAKERS = (table_of(BreakerEventRow), table_of(BreakerPositionRow))

type Tell = Callable[[int, int], None]
"""Called with how many messages are done, and how many there are."""


async def rebuild(
    bus: Bus,
    definitions: KnowsDefinitions,
    target: Database,
    *,
    old: Database | None,
    tell: Tell,
    page: int = _PAGE,
) -> int:
    """Apply to `target` everything that is in the stream now; how many messages this took.

    So many as a `page` are written at once. What the stream no longer keeps comes from the facts in `old`, as do
    the events of breakers. Raises NotFound if there is no stream.
    """
    partitions = range(bus.settings.partitions)
    projector = Projector(target, definitions, bus.settings.partitions)
    await projector.load_positions()
    newest = {partition: await last_sequence(bus, partition) for partition in partitions}
    total = sum(newest.values())
    begun = sum(projector.positions.values())

    async def apply(partition: int, messages: list[StreamMessage]) -> None:
        await projector.apply(partition, messages)
        tell(sum(projector.positions.values()), total)

    if old is not None:
        await _copy_breakers(old, target)
    for partition in partitions:
        kept_from = await first_sequence(bus, partition)
        if old is not None and projector.positions.get(partition, 0) < kept_from - 1:
            await _copy_rejected(old, target, partition, kept_from)
            async for lost in _lost(old, partition, projector.positions.get(partition, 0), kept_from):
                await apply(partition, lost)
        position = projector.positions.get(partition, 0)
        async for messages in _read_ahead(bus, partition, position, newest[partition], page):
            await apply(partition, messages)
    return sum(projector.positions.values()) - begun


async def _read_ahead(
    bus: Bus, partition: int, after: int, until: int, page: int
) -> AsyncIterator[list[StreamMessage]]:
    """The messages after one sequence up to another, many at a time, and the next ones meanwhile."""
    read: asyncio.Queue[list[StreamMessage]] = asyncio.Queue(maxsize=1)
    reading = asyncio.create_task(_read(bus, partition, after, until, page, read))
    try:
        while after < until:
            taking = asyncio.ensure_future(read.get())
            await asyncio.wait((taking, reading), return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                # It reads for ever, so it has failed.
                taking.cancel()
                await reading
            messages = await taking
            after = messages[-1].sequence
            yield messages
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(
    bus: Bus, partition: int, after: int, until: int, page: int, read: asyncio.Queue[list[StreamMessage]]
) -> None:
    gathered: list[StreamMessage] = []
    async with aclosing(
        follow(bus, partition, after, max_batch=min(page, _BURST), pause_s=_PAUSE_S)
    ) as batches:
        async for batch in batches:
            gathered += batch
            if len(gathered) >= page or gathered[-1].sequence >= until:
                await read.put(gathered)
                gathered = []


async def _lost(old: Database, partition: int, after: int, before: int) -> AsyncIterator[list[StreamMessage]]:
    """The facts of a partition between two sequences, as an older log keeps them."""
    while True:
        query = (
            select(_FACTS)
            .where(_FACTS.c.partition == partition, _FACTS.c.sequence > after, _FACTS.c.sequence < before)
            .order_by(_FACTS.c.sequence)
            .limit(_PAGE)
        )
        async with old.reading() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return
        yield [
            StreamMessage(row.sequence, f"{row.step}.{row.kind}", row.envelope.encode(), row.stored_at)
            for row in rows
        ]
        after = rows[-1].sequence


async def _copy_rejected(old: Database, target: Database, partition: int, before: int) -> None:
    """What an older log could not apply, of the time that the stream no longer keeps."""
    this = (_REJECTED.c.partition == partition) & (_REJECTED.c.sequence < before)
    async with old.reading() as connection:
        rows = [dict(row._mapping) for row in await connection.execute(select(_REJECTED).where(this))]
    async with target.engine.begin() as connection:
        await connection.execute(_REJECTED.delete().where(this))
        if rows:
            await connection.execute(insert(_REJECTED), rows)


async def _copy_breakers(old: Database, target: Database) -> None:
    for table in _BREAKERS:
        async with old.reading() as connection:
            rows = [dict(row._mapping) for row in await connection.execute(select(table))]
        async with target.engine.begin() as connection:
            await connection.execute(table.delete())
            if rows:
                await connection.execute(insert(table), rows)
