"""Live notifications of an account, from the bus: what is kept after a place, then whatever comes.

A notification's id is its sequence in the stream, so whoever lost the connection goes on after the last one seen.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from contracts.claims import SellerNotified
from contracts.events import EventMessage
from contracts.failure import InvalidContract
from events.bus import Bus
from events.read import stored, watch_stream

log = structlog.get_logger(__name__)

_WAITING = 256


@dataclass(frozen=True, slots=True)
class Notification:
    """What the seller is told; `id` is its place in the stream."""

    id: int
    message: EventMessage


async def newest(bus: Bus, account_id: str) -> int:
    """The id of the account's last notification; 0 if there is none. Raises ReadFailed, InvalidContract."""
    found = await stored(bus, bus.names.events, subject=_subject(bus, account_id))
    return (found.seq or 0) if found else 0


async def notifications(
    bus: Bus, account_id: str, after: int, quiet_s: float
) -> AsyncGenerator[Notification | None]:
    """The account's notifications after an id, for ever; None after `quiet_s` seconds without any."""
    waiting: asyncio.Queue[Notification] = asyncio.Queue(_WAITING)
    pump = asyncio.create_task(_pump(bus, _subject(bus, account_id), after, waiting), name="notifications")
    try:
        while not pump.done():
            try:
                yield await asyncio.wait_for(waiting.get(), quiet_s)
            except TimeoutError:
                yield None
        pump.result()
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(bus: Bus, subject: str, after: int, waiting: asyncio.Queue[Notification]) -> None:
    async with aclosing(watch_stream(bus, bus.names.events, [subject], after)) as batches:
        async for batch in batches:
            for message in batch:
                try:
                    told = Notification(message.sequence, EventMessage.decode(message.payload))
                except InvalidContract as error:
                    log.error("claims.unreadable", subject=message.subject, reason=str(error))
                    continue
                await waiting.put(told)


def _subject(bus: Bus, account_id: str) -> str:
    return bus.subjects.event(SellerNotified.event_name, account_id)
