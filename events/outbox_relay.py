"""The relay: publishes what an outbox holds, in the order of its commits, each message exactly once.

Events go out in atomic batches. With every batch the server stores the outbox's *marker*, a message on a
subject of its own that says how far the outbox has got; and it stores the batch only if the marker is still
the one the relay knew. So, whatever happens and however much later, without any window of time:

    dies before the batch          nothing is stored; the next relay publishes it
    dies after it, before the note the next relay reads the marker, and notes what was published
    the answer is lost             as above; it cannot be stored a second time, since the marker has moved
    two relays at once             the server accepts one of them; the other reads the marker

Relays take turns all the same (`Outbox.take_turn`), to spare each other the work; the turn of one that died
is free after `lease_s` seconds. A start of a saga carries its own fence and goes out alone, in its place.
The relay is woken by commits in its process; for those of processes that died it looks every `poll_s`.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Self

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from sqlalchemy.exc import SQLAlchemyError

from contracts.failure import SagaError
from contracts.ids import new_saga_id
from events.bus import Bus
from events.clock import monotonic
from events.names import EXPECTED_SUBJECT, MSG_ID
from events.outbox import Outbox, Turn, Unsent, same_statement
from events.publish import Fence, Fenced, Outgoing, StoredBefore

log = structlog.get_logger(__name__)

_PURGE_EVERY_S = 600.0
_FLUSH_S = 2.0
_FIRST_RETRY_S = 0.05
_LONGEST_RETRY_S = 5.0
# What a server, a database or a network may do to us; anything else is a mistake, but no reason to fall silent.
_PASSING = (SagaError, NatsError, SQLAlchemyError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class _Marker:
    """How far a lane has got: its last message there, and where in the stream the marker is."""

    lane: str
    sequence: int = 0
    number: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Durations in seconds. `keep_s`: how long sent messages stay in the outbox."""

    lease_s: float = 10.0
    poll_s: float = 10.0
    keep_s: float = 86_400.0


class Relay:
    """Publishes one outbox while it is open. Use `async with Relay(bus, outbox)`."""

    def __init__(self, bus: Bus, outbox: Outbox, settings: RelaySettings | None = None) -> None:
        self._bus = bus
        self._outbox = outbox
        self._settings = settings or RelaySettings()
        self._holder = new_saga_id()
        self._marker: _Marker | None = None
        self._purged_at = -_PURGE_EVERY_S
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="outbox relay")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        # What the last commits have added need not wait for the next process.
        self._marker = None
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self.drain()
        except _PASSING as error:
            log.warning("outbox.left_to_the_next", error=str(error) or type(error).__name__)

    async def _run(self) -> None:
        # What an earlier process left behind goes first.
        wait_s, retry_s = 0.0, _FIRST_RETRY_S
        while True:
            try:
                held_s: float | None = None
                if await self._woken(wait_s):
                    held_s = await self.drain()
                    await self._purge()
                wait_s = self._settings.poll_s if held_s is None else held_s
                retry_s = _FIRST_RETRY_S
            except Exception as error:
                self._marker = None
                passing = isinstance(error, _PASSING)
                say = log.warning if passing else log.exception
                say("outbox.retry", delay_s=retry_s, error=str(error) or type(error).__name__)
                await asyncio.sleep(retry_s)
                wait_s, retry_s = 0.0, min(2 * retry_s, _LONGEST_RETRY_S)

    async def _woken(self, wait_s: float) -> bool:
        """Wait for a commit, at most so long; whether there is anything to do."""
        if wait_s > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._outbox.added.wait(), wait_s)
        return self._outbox.added.is_set() or await self._outbox.anything_unsent()

    async def drain(self) -> float | None:
        """Publish until nothing is left; or the seconds for which another relay has the turn.

        Raises PublishFailed or Fenced: not known what is stored, read the marker and go on.
        """
        sent: Sequence[int] = ()
        refused: dict[int, str] = {}
        while True:
            self._outbox.added.clear()
            turn = await self._outbox.take_turn(self._holder, self._settings.lease_s, sent, refused)
            if turn.wait_s is not None or not turn.unsent:
                return turn.wait_s
            sent, refused = [], {}
            if turn.unsent[0].headers is None:
                sent = await self._publish_events(turn)
            elif reason := await self._publish_alone(turn.unsent[0]):
                refused[turn.unsent[0].number] = reason
            else:
                sent = [turn.unsent[0].number]

    async def _publish_events(self, turn: Turn) -> list[int]:
        """The numbers of the events that were published; none if the marker knew better."""
        events = list(takewhile(lambda message: message.headers is None, turn.unsent))
        known = self._marker
        if known is None or known.lane != turn.lane:
            known = self._marker = await self._read_marker(turn.lane)
            if known.number >= events[0].number:
                if not await self._outbox.believe(known.number, known.id):
                    log.error("outbox.database_set_back", lane=turn.lane, published=known.number)
                return []
        marker = self._next_marker(known, events[-1])
        batch = [Outgoing(event.subject, event.payload, {MSG_ID: event.id}) for event in events]
        try:
            stored = await self._bus.publisher.batch([*batch, marker])
        except StoredBefore:
            # Of a database that was set back a moment ago: the server tells one by one what it has.
            for event in batch:
                await self._bus.publisher.send(event.subject, event.payload, event.headers)
            stored = await self._bus.publisher.send(marker.subject, marker.payload, marker.headers)
        self._marker = _Marker(turn.lane, stored.sequence, events[-1].number, events[-1].id)
        return [event.number for event in events]

    def _next_marker(self, known: _Marker, last: Unsent) -> Outgoing:
        subject = f"{self._bus.names.outbox_root}.{known.lane}"
        payload = json.dumps({"number": last.number, "id": last.id}).encode()
        return Outgoing(subject, payload, Fence(subject, known.sequence).headers())

    async def _read_marker(self, lane: str) -> _Marker:
        # From the stream's leader: a replica may be behind.
        subject = f"{self._bus.names.outbox_root}.{lane}"
        try:
            message = await self._bus.jetstream.get_last_msg(self._bus.names.events, subject, direct=False)
        except NotFoundError:
            return _Marker(lane)
        said = json.loads(message.data or b"")
        return _Marker(lane, int(message.seq or 0), int(said["number"]), str(said["id"]))

    async def _publish_alone(self, message: Unsent) -> str | None:
        """Publish a message that fences itself; why it was refused, if something else is there already."""
        headers = dict(message.headers or {})
        try:
            await self._bus.publisher.send(message.subject, message.payload, headers)
            return None
        except Fenced:
            stream = await self._bus.jetstream.find_stream_name_by_subject(message.subject)
            there = await self._bus.jetstream.get_last_msg(stream, headers[EXPECTED_SUBJECT], direct=False)
        if same_statement(there.data or b"{}", message.payload):
            return None
        log.error("outbox.refused", id=message.id, subject=message.subject)
        return f"{there.subject} says something else since before"

    async def _purge(self) -> None:
        if monotonic() - self._purged_at >= _PURGE_EVERY_S:
            while await self._outbox.purge(self._settings.keep_s):
                # A thousand at a time, so that handlers need not wait long.
                await asyncio.sleep(0)
            self._purged_at = monotonic()
