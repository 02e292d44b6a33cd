"""Dead letters: messages nobody could answer, kept with the reason and with how to have them heard again.

A stream of their own. The letters of one message and one consumer are on one subject, and fenced on each
other: as long as the last of them is open, burying the message again is nothing, whoever tries, however
often. What somebody decides about a letter is a message, too (`Ruling`), at most one per letter. A ruling
that redrives carries the letter; the consumer that had buried it hears it, and no other.

Crash: a redrive that is stored is heard, once somebody hears; before it is stored nothing has happened.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from nats.js import api
from prometheus_client import Counter

from contracts.failure import InvalidContract, NotFound
from events.bus import Bus
from events.deadletters_codec import (
    LETTER_HEADER,
    DeadLetter,
    Death,
    Origin,
    Ruling,
    State,
    ruling_in,
)
from events.names import MSG_ID
from events.publish import Fence, Fenced
from events.read import answered, last_of, stored

CODE_UNDECODABLE = "fact.undecodable"
CODE_UNKNOWN_DEFINITION = "fact.unknown_definition"
CODE_WRONG_SUBJECT = "fact.wrong_subject"
CODE_UNANSWERABLE = "fact.unanswerable"
CODE_EXHAUSTED = "fact.exhausted"

log = structlog.get_logger(__name__)

BURIED = Counter("saga_dead_letters_buried_total", "Messages that became dead letters here", ["code"])

_FETCH = 256
_FETCH_S = 5.0


async def bury(bus: Bus, origin: Origin, payload: bytes, *, code: str, reason: str) -> int:
    """Store a dead letter and wait until it is stored; its sequence.

    A message of a consumer that lies here already, open or dropped, is not buried again.
    Raises PublishFailed, ReadFailed.
    """
    subject = bus.names.letter(origin.consumer, origin.stream, origin.sequence)
    while True:
        last = await _last(bus, subject)
        if last is not None and last.state is not State.REDRIVEN:
            return last.sequence
        earlier = last.sequence if last else 0
        death = Death.because(origin, code, reason, saga_id=_saga_of(bus, origin.subject), earlier=earlier)
        headers = {MSG_ID: f"{subject}.{earlier}", LETTER_HEADER: death.to_header()}
        try:
            stored = await bus.publisher.send(subject, payload, headers | Fence(subject, earlier).headers())
        except Fenced:
            # Somebody else has buried it in this moment.
            continue
        BURIED.labels(code).inc()
        return stored.sequence


async def read_dead_letter(bus: Bus, sequence: int) -> DeadLetter:
    """One letter with its message and the ruling on it. Raises NotFound."""
    message = await stored(bus, bus.names.dead_letters, seq=sequence) if sequence > 0 else None
    if message is not None and (message.subject or "").startswith(f"{bus.names.letters}."):
        with suppress(InvalidContract):
            return await _whole(bus, message)
    raise NotFound(f"no dead letter {sequence}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which letters: empty means any. `since` is when they were buried."""

    codes: tuple[str, ...] = ()
    consumer: str = ""
    saga_id: str = ""
    since: datetime | None = None
    state: State | None = None

    def holds(self, letter: DeadLetter) -> bool:
        """Whether a letter is one of them, its state aside."""
        return (
            (not self.codes or letter.code in self.codes)
            and self.consumer in ("", letter.consumer)
            and self.saga_id in ("", letter.death.saga_id)
            and (self.since is None or letter.buried_at >= self.since)
        )


async def list_dead_letters(bus: Bus, wanted: Wanted, *, after: int = 0, limit: int) -> list[DeadLetter]:
    """At most `limit` letters after a sequence, oldest first, with their rulings but without their messages."""
    found: list[DeadLetter] = []
    chunk: list[DeadLetter] = []
    subjects = f"letter.{wanted.consumer or '*'}.>"
    async for sequence, headers, stored_at in headers_of(bus, subjects, after=after, since=wanted.since):
        try:
            letter = DeadLetter.read(sequence, headers, stored_at, None)
        except InvalidContract as error:
            log.warning("deadletters.foreign", sequence=sequence, reason=str(error))
            continue
        if wanted.holds(letter):
            chunk.append(letter)
        if len(chunk) == _FETCH:
            found += await _in_state(bus, chunk, wanted.state)
            chunk = []
            if len(found) >= limit:
                return found[:limit]
    return [*found, *await _in_state(bus, chunk, wanted.state)][:limit]


async def read_dead_letters(bus: Bus, *, limit: int = 100) -> list[DeadLetter]:
    """The oldest letters with their messages, at most `limit`."""
    listed = await list_dead_letters(bus, Wanted(), limit=limit)
    return [await read_dead_letter(bus, letter.sequence) for letter in listed]


async def headers_of(
    bus: Bus, subjects: str, *, after: int = 0, since: datetime | None = None
) -> AsyncIterator[tuple[int, Mapping[str, str], datetime]]:
    """The messages there are now below the root of dead letters, without their payloads: sequence, headers
    and when it was stored. After sequence `after`, or if that is 0, from the time `since` on.

    Raises ReadFailed.
    """
    by_time = since is not None and after == 0
    config = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_TIME if by_time else api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_time=since if by_time else None,
        opt_start_seq=None if by_time else after + 1,
        ack_policy=api.AckPolicy.NONE,
        headers_only=True,
        mem_storage=True,
        inactive_threshold=30,
        num_replicas=1,
    )
    subject = f"{bus.names.dead_letter_root}.{subjects}"
    stream = bus.names.dead_letters
    with answered(stream):
        subscription = await bus.jetstream.pull_subscribe(subject, stream=stream, config=config)
    try:
        with answered(stream):
            pending = (await subscription.consumer_info()).num_pending or 0
        while pending:
            with answered(stream):
                messages = await subscription.fetch(min(pending, _FETCH), timeout=_FETCH_S)
            for message in messages:
                told = message.metadata
                pending = told.num_pending
                yield told.sequence.stream, message.headers or {}, told.timestamp
    finally:
        await subscription.unsubscribe()


async def _in_state(bus: Bus, letters: Iterable[DeadLetter], state: State | None) -> list[DeadLetter]:
    by_subject = {bus.names.ruling(letter.consumer, letter.sequence): letter for letter in letters}
    if not by_subject:
        return []
    rulings = await last_of(bus, bus.names.dead_letters, list(by_subject))
    ruled: Mapping[str, Ruling | None] = {message.subject: ruling_in(message.headers) for message in rulings}
    found = [letter.ruled(ruled.get(subject)) for subject, letter in by_subject.items()]
    return [letter for letter in found if state in (None, letter.state)]


async def _last(bus: Bus, subject: str) -> DeadLetter | None:
    message = await stored(bus, bus.names.dead_letters, subject=subject)
    return await _whole(bus, message) if message else None


async def _whole(bus: Bus, message: api.RawStreamMsg) -> DeadLetter:
    assert message.seq is not None
    assert message.time is not None
    letter = DeadLetter.read(message.seq, message.headers or {}, message.time, message.data or b"")
    subject = bus.names.ruling(letter.consumer, letter.sequence)
    ruling = await stored(bus, bus.names.dead_letters, subject=subject)
    return letter.ruled(ruling_in(ruling.headers) if ruling else None)


def _saga_of(bus: Bus, subject: str) -> str:
    timers = f"{bus.names.timer_root}."
    if subject.startswith(timers):
        return subject[len(timers) :].split(".")[1]
    try:
        return bus.subjects.parse(subject).saga_id
    except InvalidContract:
        return ""
