"""What listens and keeps the time for triggers. Any number of processes may: they share the work, and fire once.

Nothing that runs needs it: sagas it has started go on without it; what happens meanwhile waits on the server.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Self

import structlog

from contracts.failure import InvalidContract, SagaError
from contracts.triggers import DueTime, EventTrigger, ScheduleTrigger, TriggerRecord
from events.bus import Bus
from events.clock import Clock, utc_now
from events.consume import Delivery, Handler, PullConsumer
from events.names import SCHEDULER
from events.triggers import TriggerBucket, stream_of
from saga.triggers.firing import REFUSALS, Event, Firer
from saga.triggers.force import ensure_armed, put_in_force
from saga.triggers.hearing import event_in
from saga.triggers.schedule import reckon
from saga.workflows.catalogue import Catalogue

log = structlog.get_logger(__name__)

_TRY_AGAIN_S = 1.0


class TriggerRunner:
    """Fires EVENT and SCHEDULE triggers while its context is open."""

    def __init__(self, bus: Bus, catalogue: Catalogue, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._clock = clock
        self._bucket = TriggerBucket(bus)
        self._firer = Firer(bus, catalogue, clock)
        self._known: dict[str, TriggerRecord] = {}
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        self._listening: dict[str, tuple[str, PullConsumer]] = {}
        self._schedules = self._consumer(bus.names.schedules, SCHEDULER, self._hear_time)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._schedules.start()
        self._tasks = [
            asyncio.create_task(self._watch(), name="triggers changed"),
            asyncio.create_task(self._follow(), name="triggers in force"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        consumers = [self._schedules, *(consumer for _, consumer in self._listening.values())]
        await asyncio.shield(asyncio.gather(*(consumer.stop(grace_s=1.0) for consumer in consumers)))

    def listens_to(self, trigger: str) -> bool:
        """Whether this process takes what an EVENT trigger hears."""
        return trigger in self._listening

    async def _watch(self) -> None:
        async for found in self._bucket.watch():
            for kept in found:
                self._known[kept.record.trigger.name] = kept.record
                self._changed.put_nowait(kept.record.trigger.name)

    async def _follow(self) -> None:
        while True:
            name = await self._changed.get()
            record = self._known[name]
            try:
                await put_in_force(self._bus, record, self._clock())
                await self._listen(record)
            except InvalidContract as error:
                log.error("triggers.cannot_work", trigger=name, reason=str(error))
            except SagaError as error:
                log.warning("triggers.again", trigger=name, reason=str(error))
                asyncio.get_running_loop().call_later(_TRY_AGAIN_S, self._changed.put_nowait, name)

    async def _listen(self, record: TriggerRecord) -> None:
        trigger = record.trigger
        stream = (
            await stream_of(self._bus, trigger) if isinstance(trigger, EventTrigger) and record.active else ""
        )
        before, consumer = self._listening.get(trigger.name, ("", None))
        if stream == before:
            return
        if consumer is not None:
            del self._listening[trigger.name]
            await consumer.stop(grace_s=1.0)
        if stream:
            durable, hear = (
                self._bus.names.trigger_consumer(trigger.name),
                partial(self._hear_event, trigger.name),
            )
            consumer = self._consumer(stream, durable, hear)
            await consumer.start()
            self._listening[trigger.name] = stream, consumer

    async def _hear_event(self, name: str, delivery: Delivery) -> None:
        record = self._known[name]
        if record.active and isinstance(record.trigger, EventTrigger):
            event = event_in(delivery, self._clock())
            with suppress(*REFUSALS):
                await self._firer.fire(record.trigger, event, again=delivery.deliveries > 1)
        await delivery.ack()

    async def _hear_time(self, delivery: Delivery) -> None:
        try:
            due = DueTime.decode(delivery.payload)
            kept = await self._bucket.read(due.trigger)
        except InvalidContract as error:
            log.error("triggers.unreadable", subject=delivery.subject, reason=str(error))
            await delivery.ack()
            return
        if kept is not None and kept.record.active and isinstance(kept.record.trigger, ScheduleTrigger):
            # One that came while the trigger was changed has come nevertheless.
            await self._fire_times(kept.record.trigger, due, again=delivery.deliveries > 1)
            await self._arm_next(kept.record.trigger, kept.record.generation)
        await delivery.ack()

    async def _fire_times(self, trigger: ScheduleTrigger, due: DueTime, *, again: bool) -> None:
        now = self._clock()
        reckoning = reckon(trigger, due.at, now)
        for time in reckoning.fire:
            told = {"time": time.isoformat(), "late_s": (now - time).total_seconds()}
            event = Event(id=time.isoformat(), type="schedule", subject=trigger.name, time=time, data=told)
            with suppress(*REFUSALS):
                await self._firer.fire(trigger, event, again=again)
        if reckoning.missed:
            await self._firer.note_missed(trigger, *reckoning.missed, f"missed={trigger.missed}")

    async def _arm_next(self, trigger: ScheduleTrigger, generation: int) -> None:
        """Who changes the trigger in this moment may have armed it before us: what holds in the end is what is kept."""
        while True:
            await ensure_armed(self._bus, trigger, generation, self._clock())
            kept = await self._bucket.read(trigger.name)
            if kept is None or kept.record.generation == generation:
                return
            if not (kept.record.active and isinstance(kept.record.trigger, ScheduleTrigger)):
                await put_in_force(self._bus, kept.record, self._clock())
                return
            trigger, generation = kept.record.trigger, kept.record.generation

    def _consumer(self, stream: str, durable: str, handle: Handler) -> PullConsumer:
        return PullConsumer(self._bus, stream, durable, handle, lambda: int(self._clock().timestamp() * 1e9))
