"""Reading the stream back: the last facts of a saga in one request, a saga's whole story, or everything."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import NotFoundError

from contracts.facts import Fact, FactKey, Recorded
from contracts.failure import InvalidContract, NotFound, SagaError
from contracts.subjects import partition_of
from events.bus import Bus

_READ_ATTEMPTS = 4
_RETRY_DELAY_S = 0.05
_REOPEN_S = 0.25
_INACTIVE_S = 60.0
_WATCH_BATCH = 256
_STORY_BATCH = 256
_WATCH_S = 2.0
_NOTHING_THERE = ("404", "408")

log = structlog.get_logger(__name__)


class ReadFailed(SagaError):
    """The server did not answer a read in time, or answered with an error."""

    code = "bus.read_failed"
    exit_code = 6


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One stored message. `stored_at` is the server's time, aware, in UTC."""

    sequence: int
    subject: str
    payload: bytes
    stored_at: datetime
    headers: Mapping[str, str] | None = None


async def read_last(bus: Bus, saga_id: str, subjects: Sequence[str]) -> list[StreamMessage]:
    """The last message of every subject that matches, from one consistent reading, in stream order.

    Raises ReadFailed if the server does not answer.
    """
    return await last_of(bus, bus.names.facts(partition_of(saga_id, bus.settings.partitions)), subjects)


async def last_of(bus: Bus, stream: str, subjects: Sequence[str]) -> list[StreamMessage]:
    """As `read_last`, of any stream that allows it; the server refuses more than 1024 subjects."""
    messages = await _direct_get(bus, stream, {"multi_last": list(subjects)})
    return sorted(messages, key=lambda message: message.sequence)


async def read_facts(bus: Bus, saga_id: str, subjects: Sequence[str]) -> dict[FactKey, Recorded]:
    """As `read_last`, decoded, by step and kind.

    A message that is no fact hides the fact before it on its subject; then the whole saga is read.
    """
    try:
        facts = [_decoded(message) for message in await read_last(bus, saga_id, subjects)]
    except InvalidContract:
        facts = await read_saga(bus, saga_id)
    return {recorded.fact.key: recorded for recorded in facts}


async def read_saga(bus: Bus, saga_id: str, saga: str | None = None) -> list[Recorded]:
    """Every fact of one saga, in stream order; what is no fact is a dead letter, and left out."""
    facts = []
    for message in await read_story(bus, saga_id, saga):
        try:
            facts.append(_decoded(message))
        except InvalidContract as error:
            log.warning("read.no_fact", subject=message.subject, sequence=message.sequence, reason=str(error))
    return facts


async def read_story(bus: Bus, saga_id: str, saga: str | None = None) -> list[StreamMessage]:
    """Every message of one saga, in stream order: the last of each subject, and what came before it.

    Found by the server's index of subjects: no consumer that would have to look through the stream.
    """
    subject = bus.subjects.all_of(saga, saga_id) if saga else bus.subjects.all_of_id(saga_id)
    last = await read_last(bus, saga_id, [subject])
    if not last:
        return []
    stream = bus.names.facts(partition_of(saga_id, bus.settings.partitions))
    # Counted after the reading, so that none of what it left out is missed.
    with answered(stream):
        info = await bus.jetstream.stream_info(stream, subjects_filter=subject)
    counts = info.state.subjects or {}
    story = {message.sequence: message for message in last}
    for message in last:
        if counts.get(message.subject, 0) > 1:
            story |= {one.sequence: one for one in await _earlier(bus, stream, message)}
    return [story[sequence] for sequence in sorted(story)]


async def _earlier(bus: Bus, stream: str, last: StreamMessage) -> list[StreamMessage]:
    """The messages on a message's subject before it."""
    found: list[StreamMessage] = []
    while True:
        after = found[-1].sequence + 1 if found else 1
        request = {"seq": after, "batch": _STORY_BATCH, "next_by_subj": last.subject}
        batch = await _direct_get(bus, stream, request)
        found += [message for message in batch if message.sequence < last.sequence]
        if not batch or batch[-1].sequence >= last.sequence:
            return found


def _decoded(message: StreamMessage) -> Recorded:
    return Recorded(message.sequence, Fact.decode(message.payload))


async def stored(bus: Bus, stream: str, **which: Any) -> api.RawStreamMsg | None:
    """One message, by `seq` or the last one of a `subject`, as the stream's leader has it. Raises ReadFailed."""
    with answered(stream):
        try:
            return await bus.jetstream.get_msg(stream, **which)
        except NotFoundError:
            return None


@contextmanager
def answered(stream: str) -> Iterator[None]:
    """Makes ReadFailed of what the client raises if the server does not answer."""
    try:
        yield
    except (NatsError, TimeoutError) as error:
        raise ReadFailed(f"{stream}: {error or type(error).__name__}") from error


async def last_sequence(bus: Bus, partition: int) -> int:
    """The sequence of the newest message in a partition; 0 if it is empty. Raises NotFound if it is not there."""
    return int((await _info(bus, partition)).state.last_seq)


async def kept_for_s(bus: Bus, partition: int) -> float | None:
    """How long a partition's stream keeps a message, in seconds; None if for ever. Raises NotFound."""
    return (await _info(bus, partition)).config.max_age or None


async def first_sequence(bus: Bus, partition: int) -> int:
    """The sequence of the oldest message that a partition still keeps, or of the next one. Raises NotFound."""
    return max(int((await _info(bus, partition)).state.first_seq), 1)


async def _info(bus: Bus, partition: int) -> api.StreamInfo:
    stream = bus.names.facts(partition)
    try:
        return await bus.jetstream.stream_info(stream)
    except NotFoundError as error:
        raise NotFound(
            f"no stream {stream}: nothing was ever served on this bus (saga up, saga serve)"
        ) from error


async def follow(
    bus: Bus, partition: int, after_sequence: int, *, max_batch: int = 500, pause_s: float = 0.05
) -> AsyncGenerator[list[StreamMessage]]:
    """All messages of a partition after a sequence, for ever, in batches, in order and without gaps.

    Takes what is there in one burst, and after a burst that was not full waits `pause_s` seconds: a reader
    that is woken for every message would take the server's and the participants' time. The position is the
    caller's: after a crash or a lost connection it goes on after the last batch that was given out.
    """
    while True:
        try:
            everything = [bus.subjects.partition(partition)]
            async with Bursts(bus, bus.names.facts(partition), after_sequence + 1, everything) as bursts:
                while True:
                    batch = await bursts.take(max_batch)
                    if batch:
                        yield batch
                        after_sequence = batch[-1].sequence
                    if len(batch) < max_batch:
                        await asyncio.sleep(pause_s)
        except (NatsError, NotFoundError, TimeoutError, GapFound) as error:
            log.info("read.follow_again", partition=partition, after=after_sequence, reason=repr(error))
            await asyncio.sleep(_REOPEN_S)


async def watch(bus: Bus, partition: int, subjects: Sequence[str]) -> AsyncGenerator[list[StreamMessage]]:
    """As `watch_stream`, in a partition."""
    async with aclosing(watch_stream(bus, bus.names.facts(partition), subjects)) as batches:
        async for batch in batches:
            yield batch


async def watch_stream(
    bus: Bus, stream: str, subjects: Sequence[str], after_sequence: int = 0
) -> AsyncGenerator[list[StreamMessage]]:
    """All messages of a stream on these subjects, for ever, as they come, for subjects of few messages.

    An empty batch tells that everything that was there has been given out.
    """
    while True:
        try:
            async with Bursts(bus, stream, after_sequence + 1, subjects) as bursts:
                while batch := await bursts.take(_WATCH_BATCH):
                    yield batch
                    after_sequence = batch[-1].sequence
                yield []
                while True:
                    if batch := await bursts.take(1, wait_s=_WATCH_S):
                        yield batch
                        after_sequence = batch[-1].sequence
        except (NatsError, NotFoundError, TimeoutError, GapFound) as error:
            log.info("read.watch_again", stream=stream, after=after_sequence, reason=repr(error))
            await asyncio.sleep(_REOPEN_S)


class GapFound(Exception):
    """A message of the consumer did not arrive, or the consumer is gone: the connection was lost."""


class Bursts:
    """A throw-away consumer that is asked for what is there."""

    def __init__(self, bus: Bus, stream: str, start: int, subjects: Sequence[str]) -> None:
        self._bus = bus
        self._stream = stream
        self._subjects = list(subjects)
        self._start = start
        self._inbox = bus.client.new_inbox()
        self._name = ""
        self._taken = 0
        self._wanted = 0
        self._found: list[StreamMessage] = []
        self._over = asyncio.Event()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        info = await self._bus.jetstream.add_consumer(
            self._stream,
            api.ConsumerConfig(
                filter_subjects=self._subjects,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._start,
                ack_policy=api.AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=_INACTIVE_S,
            ),
        )
        self._name = info.name
        self._subscription = await self._bus.client.subscribe(self._inbox, cb=self._receive)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._subscription is not None and self._bus.connected:
            with suppress(NatsError):
                await self._subscription.unsubscribe()

    async def take(self, most: int, *, wait_s: float = 0) -> list[StreamMessage]:
        """At most so many messages, as many as there are (or come in time, if there are none).

        Raises TimeoutError or GapFound: open it again.
        """
        self._found, self._wanted = [], most
        self._over.clear()
        patience = {"expires": int(wait_s * 1e9)} if wait_s else {"no_wait": True}
        request = json.dumps({"batch": most, **patience}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        await self._bus.client.publish(subject, request, reply=self._inbox)
        async with asyncio.timeout(wait_s + self._bus.settings.publish_timeout_s):
            await self._over.wait()
        if self._taken < 0:
            raise GapFound
        return self._found

    async def _receive(self, message: Msg) -> None:
        if not message.reply:
            if (message.headers or {}).get("Status") not in _NOTHING_THERE:
                self._taken = -1
            self._over.set()
            return
        delivered, number = _delivered(message)
        # Numbered by the consumer without gaps: a break means that something was lost on the way.
        self._taken = number if self._taken >= 0 and number == self._taken + 1 else -1
        self._found.append(delivered)
        if len(self._found) >= self._wanted or self._taken < 0:
            self._over.set()


def _delivered(message: Msg) -> tuple[StreamMessage, int]:
    """The message, and its number among those the consumer has delivered."""
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time ns>.<pending>, two more in v2
    tokens = message.reply.split(".")
    shift = len(tokens) - 9 if len(tokens) > 9 else 0
    stored_at = _from_ns(int(tokens[7 + shift]))
    sequence = int(tokens[5 + shift])
    stored = StreamMessage(sequence, message.subject, message.data, stored_at, message.headers)
    return stored, int(tokens[6 + shift])


def _from_ns(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


async def _direct_get(bus: Bus, stream: str, request: dict[str, Any]) -> list[StreamMessage]:
    payload = json.dumps(request).encode()
    for attempt in range(1, _READ_ATTEMPTS + 1):
        try:
            return await _direct_get_once(bus, stream, payload)
        except (NatsError, TimeoutError) as error:
            if attempt == _READ_ATTEMPTS:
                raise ReadFailed(f"{stream}: no answer to a read: {error or type(error).__name__}") from error
            await asyncio.sleep(_RETRY_DELAY_S * attempt)
    raise AssertionError("unreachable")


async def _direct_get_once(bus: Bus, stream: str, payload: bytes) -> list[StreamMessage]:
    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox)
    found: list[StreamMessage] = []
    try:
        await bus.client.publish(f"$JS.API.DIRECT.GET.{stream}", payload, reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=bus.settings.publish_timeout_s)
            headers = message.headers or {}
            status = headers.get("Status")
            if status in ("204", "404"):
                return found
            if status is not None:
                raise ReadFailed(f"{stream}: {status} {headers.get('Description', '')}".strip())
            stored_at = datetime.fromisoformat(headers["Nats-Time-Stamp"])
            sequence, subject = int(headers["Nats-Sequence"]), headers["Nats-Subject"]
            found.append(StreamMessage(sequence, subject, message.data, stored_at, headers))
    finally:
        await subscription.unsubscribe()
