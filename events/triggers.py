"""Triggers on the bus: the bucket they are kept in, the consumers of those that listen, the times of those that wait,
and the history of their firings.
"""

from contextlib import aclosing

import structlog
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import NotFoundError

from contracts.failure import InvalidContract
from contracts.triggers import DueTime, EventTrigger, Firing, TriggerRecord
from events.bus import Bus
from events.names import MSG_ID
from events.publish import PublishFailed
from events.read import answered, stored, watch_stream
from events.records import Kept, RecordBucket

log = structlog.get_logger(__name__)

_MAX_UNANSWERED = 1_000


type KeptTrigger = Kept[TriggerRecord]


class TriggerBucket(RecordBucket[TriggerRecord]):
    """The triggers by name."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, bus.names.triggers, TriggerRecord.decode, "trigger")


def subject_of(bus: Bus, trigger: EventTrigger) -> str:
    """What an EVENT trigger listens to."""
    if trigger.event is not None:
        return f"{bus.subjects.events_root}.{trigger.event}.*"
    return trigger.subject or ""


async def stream_of(bus: Bus, trigger: EventTrigger) -> str:
    """The stream that keeps what an EVENT trigger listens to. Raises InvalidContract if none does, ReadFailed."""
    subject = subject_of(bus, trigger)
    with answered(f"the stream of {subject}"):
        try:
            return str(await bus.jetstream.find_stream_name_by_subject(subject))
        except NotFoundError as error:
            raise InvalidContract(
                f"no stream keeps messages on {subject!r}: publish events as <domain>.<event>, or add a stream"
            ) from error


async def listen(bus: Bus, trigger: EventTrigger) -> None:
    """Have the server keep for this trigger what is published from now on. Nothing if it does already.

    Raises InvalidContract if no stream keeps its subject, ReadFailed if the server does not answer.
    """
    stream, subject = await stream_of(bus, trigger), subject_of(bus, trigger)
    config = api.ConsumerConfig(
        name=bus.names.trigger_consumer(trigger.name),
        durable_name=bus.names.trigger_consumer(trigger.name),
        filter_subjects=[subject],
        deliver_policy=api.DeliverPolicy.NEW,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=bus.settings.ack_wait_s,
        max_deliver=-1,
        max_ack_pending=_MAX_UNANSWERED,
    )
    with answered(stream):
        if await _hears(bus, stream, config.name or "") != [subject]:
            await bus.jetstream.add_consumer(stream, config)


async def _hears(bus: Bus, stream: str, consumer: str) -> list[str]:
    try:
        config = (await bus.jetstream.consumer_info(stream, consumer)).config
    except NotFoundError:
        return []
    return list(config.filter_subjects or filter(None, [config.filter_subject]))


async def listen_no_more(bus: Bus, trigger: EventTrigger) -> None:
    """What is published while nobody listens starts nothing later. Raises ReadFailed."""
    try:
        stream = await stream_of(bus, trigger)
    except InvalidContract:
        # With its stream the consumer has gone, too.
        return
    with answered(stream):
        try:
            await bus.jetstream.delete_consumer(stream, bus.names.trigger_consumer(trigger.name))
        except NotFoundError:
            log.debug("triggers.was_not_listening", trigger=trigger.name)


async def arm_schedule(bus: Bus, due: DueTime) -> None:
    """Have the server give the time back when it has come; the one before it is replaced. Raises PublishFailed."""
    headers = {
        "Nats-Schedule": f"@at {due.at.isoformat()}",
        "Nats-Schedule-Target": bus.names.schedule_due(due.trigger),
    }
    await bus.publisher.send(bus.names.schedule_armed(due.trigger), due.model_dump_json().encode(), headers)


async def disarm_schedule(bus: Bus, trigger: str) -> None:
    """Forget the times of a schedule. Raises PublishFailed if the server does not answer."""
    try:
        for subject in (bus.names.schedule_armed(trigger), bus.names.schedule_due(trigger)):
            await bus.jetstream.purge_stream(bus.names.schedules, subject=subject)
    except (NatsError, TimeoutError) as error:
        raise PublishFailed(f"trigger {trigger} is still armed: {error or type(error).__name__}") from error


async def armed_schedule(bus: Bus, trigger: str) -> DueTime | None:
    """The time of a schedule that lies ahead, as the server has it. Raises ReadFailed."""
    found = await stored(bus, bus.names.schedules, subject=bus.names.schedule_armed(trigger))
    return DueTime.decode(found.data or b"") if found else None


async def note_firing(bus: Bus, firing: Firing) -> None:
    """Add a firing to the history, once by its id. Raises PublishFailed."""
    await bus.publisher.send(
        bus.names.firing(firing.trigger), firing.model_dump_json().encode(), {MSG_ID: firing.id}
    )


async def firings(bus: Bus, trigger: str, *, before: int | None = None) -> list[tuple[int, Firing]]:
    """The firings of a trigger that are kept, or those before a sequence; newest first, each with its sequence."""
    found: list[tuple[int, Firing]] = []
    async with aclosing(watch_stream(bus, bus.names.firings, [bus.names.firing(trigger)])) as batches:
        async for messages in batches:
            if not messages:
                break
            for message in messages:
                try:
                    found.append((message.sequence, Firing.decode(message.payload)))
                except InvalidContract as error:
                    log.error("triggers.unreadable", subject=message.subject, reason=str(error))
    return [one for one in reversed(found) if before is None or one[0] < before]
