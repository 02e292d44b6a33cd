"""What the log cannot apply: a dead letter of its own for each, applied in its place when it is redriven.

The letter is stored before the log's position moves on, so that none is lost; it is stored once.
"""

from collections.abc import Awaitable, Callable
from typing import Self

from contracts.failure import InvalidContract
from events.bus import Bus
from events.clock import Clock
from events.consume import Delivery, PullConsumer
from events.deadletters import CODE_UNANSWERABLE, CODE_UNDECODABLE, CODE_UNKNOWN_DEFINITION, bury
from events.deadletters_codec import Origin, redelivered
from events.names import SAGA_LOG
from events.read import StreamMessage
from events.streams import apply_redrives
from saga.log.project import NOT_APPLICABLE, Projector, UnknownDefinition

type StateOutcomes = Callable[[int, list[str]], Awaitable[None]]


async def put_aside(bus: Bus, partition: int, message: StreamMessage, error: Exception) -> None:
    """Bury a message that the log could not apply. Raises PublishFailed, ReadFailed."""
    origin = Origin(
        consumer=SAGA_LOG,
        stream=bus.names.facts(partition),
        sequence=message.sequence,
        subject=message.subject,
        deliveries=1,
        headers=dict(message.headers or {}),
    )
    await _bury(bus, origin, message.payload, error)


class Redriven:
    """Hears what was redriven to the log, while its context is open."""

    def __init__(self, bus: Bus, projector: Projector, state_outcomes: StateOutcomes, clock: Clock) -> None:
        self._bus = bus
        self._projector = projector
        self._state_outcomes = state_outcomes
        self._partitions = {
            bus.names.facts(partition): partition for partition in range(bus.settings.partitions)
        }
        self._consumer = PullConsumer(
            bus, bus.names.dead_letters, SAGA_LOG, self._hear, lambda: int(clock().timestamp() * 1e9)
        )

    async def __aenter__(self) -> Self:
        await apply_redrives(self._bus, [SAGA_LOG])
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop(grace_s=1.0)

    async def _hear(self, delivery: Delivery) -> None:
        again = redelivered(delivery)
        if again is not None:
            partition = self._partitions[again.stream]
            try:
                ended = await self._projector.apply_again(partition, again.sequence, again.payload)
            except NOT_APPLICABLE as error:
                await _bury(self._bus, Origin.of(SAGA_LOG, again), again.payload, error)
            else:
                await self._state_outcomes(partition, ended)
        await delivery.ack()


async def _bury(bus: Bus, origin: Origin, payload: bytes, error: Exception) -> None:
    match error:
        case UnknownDefinition():
            code = CODE_UNKNOWN_DEFINITION
        case InvalidContract():
            code = CODE_UNDECODABLE
        case _:
            code = CODE_UNANSWERABLE
    await bury(bus, origin, payload, code=code, reason=str(error) or type(error).__name__)
