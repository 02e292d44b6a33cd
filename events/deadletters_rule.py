"""What somebody decides about a dead letter: at most one word, and the first one stands."""

from datetime import datetime

from nats.js.errors import NotFoundError
from prometheus_client import Counter

from contracts.failure import Conflict
from contracts.ids import new_saga_id
from events.bus import Bus
from events.clock import utc_now
from events.deadletters_codec import LETTER_HEADER, RULING_HEADER, DeadLetter, Ruling, State, ruling_in
from events.publish import Fence, Fenced
from events.read import ReadFailed, answered, stored

RULED = Counter("saga_dead_letters_ruled_total", "Dead letters decided about here", ["state"])


async def rule(
    bus: Bus, letter: DeadLetter, verb: State, *, by: str, reason: str, at: datetime | None = None
) -> tuple[Ruling, bool]:
    """Decide about a letter that was read whole: the ruling that stands, and whether it is this one.

    A ruling that redrives is what the consumer hears, with the message. Raises PublishFailed, ReadFailed.
    """
    assert verb is not State.OPEN, "a letter is open until somebody decides"
    assert letter.payload is not None, "a letter from a list lacks the message that would be heard"
    ruling = Ruling(
        id=new_saga_id(), letter=letter.sequence, verb=verb, by=by, reason=reason, at=at or utc_now()
    )
    subject = bus.names.ruling(letter.consumer, letter.sequence)
    headers = {RULING_HEADER: ruling.to_header(), LETTER_HEADER: letter.death.to_header()}
    payload = letter.payload if verb is State.REDRIVEN else b""
    try:
        await bus.publisher.send(subject, payload, headers | Fence(subject).headers())
    except Fenced:
        message = await stored(bus, bus.names.dead_letters, subject=subject)
        standing = ruling_in(message.headers) if message else None
        if standing is None:
            raise ReadFailed(f"{subject} holds a message that is no ruling") from None
        # Our own, if its acknowledgement was lost and it was sent again.
        return standing, standing.id == ruling.id
    RULED.labels(verb.value).inc()
    return ruling, True


async def check_hearable(bus: Bus, letter: DeadLetter) -> None:
    """Raises Conflict if a redrive of this letter would reach nobody, or nothing that could be decided on;
    ReadFailed if the server does not answer."""
    origin, names = letter.death.origin, bus.names
    with answered(names.dead_letters):
        try:
            await bus.jetstream.consumer_info(names.dead_letters, origin.consumer)
        except NotFoundError as error:
            raise Conflict(
                f"nobody hears redrives for consumer {origin.consumer}: start its service, or make a durable "
                f"consumer {origin.consumer} on stream {names.dead_letters} with the filter "
                f"{names.ruling(origin.consumer, '*')}"
            ) from error
    if origin.stream not in {names.facts(partition) for partition in range(bus.settings.partitions)}:
        return
    if await stored(bus, origin.stream, seq=origin.sequence) is None:
        raise Conflict(
            f"message {origin.sequence} has left stream {origin.stream} for its age, and its saga with it: "
            f"drop dead letter {letter.sequence}"
        )
