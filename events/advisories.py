"""What consumers with a limit of deliveries give up: each such message becomes a dead letter.

Our own consumers have no limit, but those that others make, and those whose limit an operator changes, do.
The server then tells of it once, on a subject nobody may be listening to; a stream keeps what it says, and
every process with participants, and the log, works it off together.

Crash: an advisory that is not acknowledged comes again, and finds the letter buried.
"""

import json
from typing import Any, Self

import structlog

from events.bus import Bus
from events.clock import Clock, utc_now
from events.consume import Delivery, PullConsumer
from events.deadletters import CODE_EXHAUSTED, CODE_UNDECODABLE, bury
from events.deadletters_codec import Origin, death_in
from events.names import UNDERTAKER
from events.read import stored

log = structlog.get_logger(__name__)


class Undertaker:
    """Buries what the server has given up, while its context is open."""

    def __init__(self, bus: Bus, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._consumer = PullConsumer(
            bus, bus.names.advisories, UNDERTAKER, self._hear, lambda: int(clock().timestamp() * 1e9)
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop(grace_s=1.0)

    async def _hear(self, delivery: Delivery) -> None:
        try:
            told: dict[str, Any] = json.loads(delivery.payload)
            stream, consumer = str(told["stream"]), str(told["consumer"])
            sequence, deliveries = int(told["stream_seq"]), int(told["deliveries"])
        except (ValueError, KeyError, TypeError) as error:
            origin = Origin.of(UNDERTAKER, delivery)
            reason = f"no advisory of the server: {type(error).__name__}: {error}"
            await bury(self._bus, origin, delivery.payload, code=CODE_UNDECODABLE, reason=reason)
            await delivery.ack()
            return
        origin, payload, reason = await self._given_up(stream, consumer, sequence, deliveries)
        await bury(self._bus, origin, payload, code=CODE_EXHAUSTED, reason=reason)
        log.error("delivery.exhausted", stream=stream, consumer=consumer, sequence=sequence)
        await delivery.ack()

    async def _given_up(
        self, stream: str, consumer: str, sequence: int, deliveries: int
    ) -> tuple[Origin, bytes, str]:
        reason = f"not acknowledged in {deliveries} deliveries, the limit of consumer {consumer}"
        told = Origin(consumer=consumer, stream=stream, sequence=sequence, subject="", deliveries=deliveries)
        message = await stored(self._bus, stream, seq=sequence)
        if message is None:
            return told, b"", f"{reason}; the message is not in its stream any more"
        headers = message.headers or {}
        death = death_in(headers) if stream == self._bus.names.dead_letters else None
        if death is not None:
            # A redrive that was given up: what it carries goes back to where it lay.
            return death.origin.model_copy(update={"deliveries": deliveries}), message.data or b"", reason
        found = {"subject": message.subject or "", "headers": dict(headers)}
        return told.model_copy(update=found), message.data or b"", reason
