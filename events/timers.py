"""Timers on the server (ADR-51): armed, disarmed, and taken when they are due.

They have a stream of their own, because the schedule flag opens a stream to purges and rollups, which the
facts must never be. A timer fires at least once, also if it came due while the server was down.
"""

from nats.errors import Error as NatsError
from nats.js.errors import APIError

from contracts.subjects import valid_token
from contracts.timers import Timer
from events.bus import Bus
from events.consume import Delivery
from events.names import CANNOT_DELETE, Names
from events.publish import Outgoing, PublishFailed

_SCHEDULE = "Nats-Schedule"
_TARGET = "Nats-Schedule-Target"


async def arm(bus: Bus, timer: Timer) -> None:
    """Have the timer fire when it is due (at once if that is past); the one before it is replaced.

    Raises PublishFailed if the server does not acknowledge.
    """
    message = armed_by(bus.names, timer)
    await bus.publisher.send(message.subject, message.payload, message.headers)


def armed_by(names: Names, timer: Timer) -> Outgoing:
    """The message that arms a timer. It may be sent again: the last one counts."""
    headers = {
        _SCHEDULE: f"@at {timer.due.isoformat()}",
        _TARGET: names.timer_due(timer.saga_id, timer.step),
    }
    subject = names.timer_armed(timer.saga_id, timer.step)
    return Outgoing(subject, timer.model_dump_json().encode(), headers)


async def disarm(bus: Bus, saga_id: str) -> None:
    """Forget all timers of a saga that have not fired. Raises PublishFailed if the server does not answer."""
    valid_token(saga_id, "saga id")
    try:
        await bus.jetstream.purge_stream(bus.names.timers, subject=bus.names.timer_armed(saga_id, ">"))
    except (NatsError, TimeoutError) as error:
        raise PublishFailed(
            f"timers of {saga_id} are still armed: {error or type(error).__name__}"
        ) from error


async def armed(bus: Bus) -> int:
    """How many timers wait for their moment."""
    info = await bus.jetstream.stream_info(bus.names.timers, subjects_filter=f"{bus.names.timer_root}.at.>")
    return sum((info.state.subjects or {}).values())


async def done_with(bus: Bus, delivery: Delivery) -> None:
    """Acknowledge a timer that has fired, and forget it."""
    await delivery.ack()
    try:
        await bus.jetstream.delete_msg(bus.names.timers, delivery.sequence)
    except APIError as error:
        # Fired and handled twice, or redriven: it was forgotten before.
        if error.err_code != CANNOT_DELETE:
            raise
