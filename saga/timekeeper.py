"""Timers that are due become facts. Every process with participants keeps the time; they share the work.

Crash: a due timer that is not acknowledged comes again, to any of them; what it states is fenced, so it is
stated once. If no process lives, timers wait on the server.
"""

import asyncio
from typing import Self

import structlog

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, FactKind, Recorded
from contracts.failure import InvalidContract
from contracts.timers import Timer
from events import timers
from events.bus import Bus
from events.clock import Clock, utc_now
from events.consume import Delivery, PullConsumer
from events.deadletters import CODE_UNDECODABLE, CODE_UNKNOWN_DEFINITION, bury
from events.deadletters_codec import Origin, redelivered
from events.definitions import Definitions
from events.names import TIMEKEEPER
from events.read import read_saga
from saga.client import SagaClient
from saga.decisions import Trigger, Wake
from saga.rests import due_of, rests
from saga.turn import Turn, Voice

log = structlog.get_logger(__name__)


class Timekeeper:
    """Takes due timers while its context is open."""

    def __init__(self, bus: Bus, definitions: Definitions, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._definitions = definitions
        self._client = SagaClient(bus, definitions, clock)
        self._voice = Voice(bus, "/timekeeper", clock)
        self._consumers = [
            PullConsumer(bus, stream, TIMEKEEPER, hear, lambda: int(clock().timestamp() * 1e9))
            for stream, hear in (
                (bus.names.timers, self._hear),
                (bus.names.dead_letters, self._hear_again),
            )
        ]

    async def __aenter__(self) -> Self:
        for consumer in self._consumers:
            await consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(asyncio.gather(*(consumer.stop(grace_s=1.0) for consumer in self._consumers)))

    async def _hear_again(self, delivery: Delivery) -> None:
        again = redelivered(delivery)
        if again is None:
            await delivery.ack()
        else:
            await self._hear(again)

    async def _hear(self, delivery: Delivery) -> None:
        try:
            timer = Timer.decode(delivery.payload)
        except InvalidContract as error:
            await self._bury(delivery, CODE_UNDECODABLE, str(error))
            return
        definition = await self._definitions.fetch(timer.definition)
        if definition is None:
            await self._bury(delivery, CODE_UNKNOWN_DEFINITION, f"no definition {timer.definition}")
            return
        if timer.is_deadline:
            await self._client.expire(timer.saga_id, timer.due)
        else:
            await self._wake(definition, timer)
        await timers.done_with(self._bus, delivery)

    async def _wake(self, definition: SagaDefinition, timer: Timer) -> None:
        facts = {one.fact.key: one for one in await read_saga(self._bus, timer.saga_id)}
        rest = rests(facts, timer.step, undoing=ABORTED_KEY in facts)
        due = due_of(rest) if rest else None
        if rest is None or due is None:
            log.debug("timer.in_vain", saga_id=timer.saga_id, step=timer.step)
            return
        turn = _turn(definition, timer.step, rest)
        if timer.due < due:
            # The timer of an earlier rest: this one's must not be lost with it.
            await self._voice.arm(turn, due)
            return
        before = facts.get((timer.step, FactKind.WOKEN))
        wake = Wake(rest.sequence, before.sequence if before else 0, "its time has come")
        if not await self._voice.wake(turn, wake):
            # What was stated in this moment may have ended an earlier rest: look again.
            await self._wake(definition, timer)

    async def _bury(self, delivery: Delivery, code: str, reason: str) -> None:
        log.error("timer.buried", subject=delivery.subject, reason=reason)
        origin = Origin.of(TIMEKEEPER, delivery)
        await bury(self._bus, origin, delivery.payload, code=code, reason=reason)
        await timers.done_with(self._bus, delivery)


def _turn(definition: SagaDefinition, step: str, heard: Recorded) -> Turn:
    trigger = Trigger(sequence=heard.sequence, key=heard.fact.key)
    return Turn(definition, definition.step(step), heard, trigger, {heard.fact.key: heard})
