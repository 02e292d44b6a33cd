"""The triggers there are: created, changed, switched on and off. One writer at a time, by compare-and-set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from contracts.failure import Conflict, InvalidContract, NotFound, Stale
from contracts.pointers import Problem
from contracts.triggers import EventTrigger, InvalidTrigger, Trigger, TriggerRecord
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.records import Known
from events.triggers import KeptTrigger, TriggerBucket, listen_no_more, stream_of
from saga.triggers.checking import check_trigger
from saga.triggers.force import put_in_force
from saga.workflows.catalogue import Catalogue, Words

_TRIES = 20


class Triggers:
    """Open with `async with Triggers.open(bus, catalogue, definitions) as triggers`."""

    def __init__(
        self, bus: Bus, catalogue: Catalogue, definitions: Definitions, clock: Clock = utc_now
    ) -> None:
        self._bus = bus
        self._catalogue = catalogue
        self._definitions = definitions
        self._clock = clock
        self._bucket = TriggerBucket(bus)
        self._known = Known(self._bucket, lambda record: record.trigger.name)

    @classmethod
    @asynccontextmanager
    async def open(cls, bus: Bus, catalogue: Catalogue, definitions: Definitions) -> AsyncIterator[Self]:
        """The triggers, with all there are now, and from then on what changes."""
        triggers = cls(bus, catalogue, definitions)
        async with triggers._known.following():
            yield triggers

    def all(self) -> list[KeptTrigger]:
        """Every trigger this process knows of, by name."""
        return [kept for kept in self._known.all() if not kept.record.deleted]

    async def get(self, name: str) -> KeptTrigger:
        """The trigger as it is on the server. Raises NotFound."""
        kept = await self._bucket.read(name)
        if kept is None or kept.record.deleted:
            raise NotFound(f"no trigger {name}")
        self._known.learn(kept)
        return kept

    async def create(self, trigger: Trigger, words: Words) -> KeptTrigger:
        """A new trigger, in force when this returns. Raises InvalidTrigger, Conflict if there is one of that name."""
        await self._check(trigger)
        kept, now = await self._bucket.read(trigger.name), self._clock()
        if kept is not None and not kept.record.deleted:
            raise Conflict(f"trigger {trigger.name} exists: update it, or choose another name")
        record = TriggerRecord(
            trigger=trigger,
            generation=kept.record.generation + 1 if kept else 1,
            created_at=now,
            updated_at=now,
            by=words.by,
            reason=words.reason,
        )
        return await self._write(record, kept.revision if kept else 0)

    async def update(self, trigger: Trigger, expected: int | None, words: Words) -> KeptTrigger:
        """The trigger as it is to be from now on; its history stays.

        `expected` is the revision the caller has read, None for any. Raises InvalidTrigger, NotFound, Stale,
        Conflict if it would become another kind.
        """
        await self._check(trigger)
        return await self._change(trigger.name, expected, words, trigger)

    async def enable(self, name: str, words: Words, *, enabled: bool) -> KeptTrigger:
        """Switch it on or off. What happens while it is off starts nothing later. Raises NotFound, Stale."""
        kept = await self.get(name)
        if kept.record.trigger.enabled == enabled:
            await put_in_force(self._bus, kept.record, self._clock())
            return kept
        switched = kept.record.trigger.model_copy(update={"enabled": enabled})
        return await self._change(name, None, words, switched)

    async def delete(self, name: str, expected: int | None, words: Words) -> None:
        """Take it out of force, and out of sight. Raises NotFound, Stale."""
        await self._change(name, expected, words, None)

    async def _change(
        self, name: str, expected: int | None, words: Words, trigger: Trigger | None
    ) -> KeptTrigger:
        for _ in range(_TRIES):
            kept = await self.get(name)
            before = kept.record.trigger
            if expected not in (None, kept.revision):
                raise Stale(f"trigger {name} has changed since it was read: read it again")
            if trigger is not None and trigger.kind != before.kind:
                raise Conflict(f"trigger {name} is of kind {before.kind}: delete it, and create another")
            changed = {
                "trigger": trigger or before,
                "deleted": trigger is None,
                "generation": kept.record.generation + 1,
                "updated_at": self._clock(),
                "by": words.by,
                "reason": words.reason,
            }
            with suppress(Stale):
                return await self._write(kept.record.model_copy(update=changed), kept.revision, before)
        raise Stale(f"trigger {name} changes too fast to be changed: try again")

    async def _write(self, record: TriggerRecord, over: int, before: Trigger | None = None) -> KeptTrigger:
        kept = await self._bucket.write(record.trigger.name, record, over)
        self._known.learn(kept)
        after = record.trigger
        if (
            isinstance(before, EventTrigger)
            and isinstance(after, EventTrigger)
            and before.heard != after.heard
        ):
            await listen_no_more(self._bus, before)
        await put_in_force(self._bus, record, self._clock())
        return kept

    async def _check(self, trigger: Trigger) -> None:
        await check_trigger(trigger, self._catalogue, self._definitions, self._clock())
        if isinstance(trigger, EventTrigger):
            try:
                await stream_of(self._bus, trigger)
            except InvalidContract as error:
                place = "/subject" if trigger.subject else "/event"
                raise InvalidTrigger(trigger.name, [Problem(place, str(error))]) from error
