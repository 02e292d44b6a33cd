"""Circuit breakers on the bus: one key per breaker in a bucket, and a stream of what happened to them.

A record is written only over the revision it was made from, so of two processes that change it at once one
reads again. Events are stated from the record's history, fenced on the event before: each once and in order,
whoever states them, and also if the process that made the change died before it could.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import structlog

from contracts.breakers import BreakerEvent, BreakerRecord, Isolation
from contracts.failure import Conflict, InvalidContract
from contracts.ids import new_saga_id
from events.bus import Bus
from events.clock import monotonic
from events.names import EXPECTED_SEQUENCE, EXPECTED_SUBJECT, MSG_ID
from events.publish import Fenced
from events.read import StreamMessage, answered, last_of, watch_stream

log = structlog.get_logger(__name__)

_TRIES = 50
_REREAD_S = 0.005
# No name of a breaker begins so.
_ISOLATION = "_isolation"

type Change = Callable[[BreakerRecord], BreakerRecord]


@dataclass(frozen=True, slots=True)
class Kept:
    """A record, and the revision of the bucket at which it was written; 0 if it was not."""

    record: BreakerRecord
    revision: int = 0


class BreakerBucket:
    """The bucket of breakers, and their events."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._stream = f"KV_{bus.names.breakers}"
        self._root = f"$KV.{bus.names.breakers}"
        self.isolation: Isolation | None = None
        """As the watch has told it; none in a namespace that is not isolated."""

    @property
    def connected(self) -> bool:
        return self._bus.connected

    async def read(self, name: str) -> Kept:
        """The breaker as it is on the server. Raises ReadFailed."""
        found = await last_of(self._bus, self._stream, [f"{self._root}.{name}"])
        kept = self._kept(found[-1]) if found else None
        return kept or Kept(BreakerRecord(name=name), found[-1].sequence if found else 0)

    async def read_isolation(self) -> Isolation | None:
        """The isolation of this namespace as it is on the server. Raises ReadFailed, InvalidContract."""
        found = await last_of(self._bus, self._stream, [f"{self._root}.{_ISOLATION}"])
        return Isolation.decode(found[-1].payload) if found else None

    async def isolate(self, isolation: Isolation, *, patience_s: float = 1.0) -> None:
        """Isolate this namespace, and wait until every process that watches its breakers has been told.

        One that has not taken the word within `patience_s` is not there any more. Raises PublishFailed, ReadFailed.
        """
        payload = isolation.model_dump_json().encode()
        stored = await self._bus.publisher.send(f"{self._root}.{_ISOLATION}", payload, {})
        until = monotonic() + patience_s
        while await self._behind(stored.sequence) and monotonic() < until:
            await asyncio.sleep(_REREAD_S)

    async def _behind(self, sequence: int) -> bool:
        with answered(self._stream):
            watchers = await self._bus.jetstream.consumers_info(self._stream)
        given = [one.delivered.stream_seq if one.delivered else 0 for one in watchers]
        return any(last < sequence for last in given)

    async def change(self, kept: Kept, change: Change) -> Kept:
        """Apply a change to what is on the server, beginning with what is known of it.

        Raises Conflict if others are always faster, PublishFailed or ReadFailed if the bus is away.
        """
        name = kept.record.name
        for attempt in range(_TRIES):
            wanted = change(kept.record)
            if wanted is kept.record:
                return kept
            written = wanted.model_copy(update={"write": new_saga_id()})
            headers = {EXPECTED_SEQUENCE: str(kept.revision)}
            payload = written.model_dump_json().encode()
            try:
                stored = await self._bus.publisher.send(f"{self._root}.{name}", payload, headers)
            except Fenced:
                present = await self.read(name)
                # Our own write, of which only the acknowledgement was lost.
                if present.record.write == written.write:
                    return present
                if present.revision <= kept.revision:
                    # The replica that answered is behind.
                    await asyncio.sleep(_REREAD_S * (attempt + 1))
                kept = present
            else:
                return Kept(written, stored.sequence)
        raise Conflict(f"breaker {name} changes too fast to be changed: try again")

    async def watch(self) -> AsyncGenerator[list[Kept]]:
        """All breakers, then every change, for ever; an empty list tells that all have been given out."""
        async for messages in watch_stream(self._bus, self._stream, [f"{self._root}.>"]):
            found = []
            for message in messages:
                if message.subject == f"{self._root}.{_ISOLATION}":
                    self.isolation = _isolation_in(message)
                elif kept := self._kept(message):
                    found.append(kept)
            if found or not messages:
                yield found

    async def state_events(self, record: BreakerRecord) -> None:
        """State what the history tells and the stream does not have. Raises PublishFailed, ReadFailed."""
        everything = self._bus.names.breaker_event(record.name, "*")
        while True:
            stated = await last_of(self._bus, self._bus.names.breaker_events, [everything])
            known = BreakerEvent.decode(stated[-1].payload).revision if stated else 0
            sequence = stated[-1].sequence if stated else 0
            try:
                for event in record.history:
                    if event.revision > known:
                        sequence = await self._state(event, everything, sequence)
            except Fenced:
                # Another process was faster: see what is left.
                continue
            return

    async def _state(self, event: BreakerEvent, everything: str, after: int) -> int:
        subject = self._bus.names.breaker_event(event.name, event.kind)
        headers = {MSG_ID: event.id, EXPECTED_SEQUENCE: str(after), EXPECTED_SUBJECT: everything}
        payload = event.model_dump_json().encode()
        return (await self._bus.publisher.send(subject, payload, headers)).sequence

    def _kept(self, message: StreamMessage) -> Kept | None:
        try:
            return Kept(BreakerRecord.decode(message.payload), message.sequence)
        except InvalidContract as error:
            log.error("breakers.unreadable", subject=message.subject, reason=str(error))
            return None


def _isolation_in(message: StreamMessage) -> Isolation:
    try:
        return Isolation.decode(message.payload)
    except InvalidContract as error:
        # Who does not know what is let out lets nobody out.
        log.error("breakers.isolation_unreadable", reason=str(error))
        return Isolation(since=message.stored_at)


async def follow_breaker_events(bus: Bus, after_sequence: int) -> AsyncGenerator[list[StreamMessage]]:
    """All events of breakers after a sequence, for ever, in order; empty lists when there are no more."""
    subjects = [f"{bus.names.breaker_root}.>"]
    async for messages in watch_stream(bus, bus.names.breaker_events, subjects, after_sequence):
        yield messages
