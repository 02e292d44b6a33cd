"""What this process knows of all breakers: what the bucket says, and on top what it has not taken down yet.

Everything heard changes the process's own view at once and is written in the background, so no call waits for
the bus, and with the bus away the breakers go on by that view. What another process wrote first is the ground
on which what is pending here is applied again; results of a generation that is over fall away by that.

A process that dies loses at most what it had not written: some counted failures, and leases that run out.
"""

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from typing import Self

import structlog
from prometheus_client import Gauge

from contracts.breakers import BreakerConfig, BreakerRecord, BreakerState
from contracts.failure import Conflict, InvalidContract, NotFound, Unusable
from events.breakers import BreakerBucket, Kept
from events.clock import Clock
from events.publish import PublishFailed
from events.read import ReadFailed
from saga.breaker_machine import Configure, Delete, Ended, Enlist, Heard, Probe, Reset, advance

log = structlog.get_logger(__name__)

STATE = Gauge("saga_breaker_state", "0 closed, 1 half open, 2 open", ["breaker"])
FAILURES = Gauge("saga_breaker_failures", "Failures in a row on record", ["breaker"])
_LEVELS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

_MAX_PENDING = 256
_RETRY_S = 0.25
_PROBE_WAIT_S = 1.0
_LAST_WRITES_S = 2.0
# Who made a change states its events at once; the others only look whether it lived to do so.
_LOOK_AFTER_S = 1.0
_BUS_AWAY = (PublishFailed, ReadFailed, Conflict)


@dataclass(eq=False, slots=True)
class _Pending:
    heard: Heard
    written: asyncio.Event = field(default_factory=asyncio.Event)


class Ledger:
    """The breakers' records. Without a bucket it is this process's own; with one, use it as a context."""

    def __init__(self, default: BreakerConfig, clock: Clock, bucket: BreakerBucket | None = None) -> None:
        self.default = default
        self.clock = clock
        self._bucket = bucket
        self._kept: dict[str, Kept] = {}
        self._views: dict[str, BreakerRecord] = {}
        self._pending: defaultdict[str, list[_Pending]] = defaultdict(list)
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._stating: dict[str, asyncio.Task[None]] = {}
        self._stated: dict[str, int] = {}
        self._own: set[str] = set()
        self._watching: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._bucket is not None:
            self._watching = asyncio.create_task(self._watch(self._bucket), name="breakers")
            ready = asyncio.create_task(self._ready.wait())
            await asyncio.wait({ready, self._watching}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._bucket is not None and self._bucket.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITES_S):
                    await asyncio.gather(*self._writing.values())
                    await asyncio.gather(*(task for name, task in self._stating.items() if name in self._own))
        tasks = [*self._writing.values(), *self._stating.values(), *filter(None, [self._watching])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def view(self, name: str) -> BreakerRecord:
        """The breaker as this process sees it."""
        return self._views.get(name) or BreakerRecord(name=name)

    def records(self) -> list[BreakerRecord]:
        """All breakers that are in use, by name."""
        return [record for _, record in sorted(self._views.items()) if not record.deleted]

    def shuts(self, name: str) -> bool:
        """Whether the breaker lets nobody through because the namespace is isolated, whatever its state."""
        isolation = self._bucket.isolation if self._bucket is not None else None
        return isolation is not None and isolation.shuts(name)

    def enlist(self, name: str) -> None:
        """Make a breaker known that nobody has used before."""
        if self._bucket is not None and (name not in self._views or self._views[name].deleted):
            self.hear(name, Enlist(at=self.clock()))

    def hear(self, name: str, heard: Ended | Probe | Enlist) -> _Pending | None:
        """Change the view; what is pending, unless nothing has changed or all is this process's own."""
        before = self.view(name)
        after = advance(before, self.default, heard)
        if after is before:
            return None
        self._see(name, after)
        if self._bucket is None:
            return None
        pending = _Pending(heard)
        waiting = self._pending[name]
        waiting.append(pending)
        # While the bus is away: the newest tell more than the oldest.
        del waiting[:-_MAX_PENDING]
        if name not in self._writing:
            self._writing[name] = asyncio.create_task(self._write(self._bucket, name), name=f"breaker {name}")
        return pending

    async def ask_for_probe(self, name: str, probe: str) -> bool:
        """Whether a call may be a probe: by all replicas' view, or by this one's if the bus does not answer."""
        pending = self.hear(name, Probe(at=self.clock(), probe=probe))
        if pending is not None and self._bucket is not None and self._bucket.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_WAIT_S):
                    await pending.written.wait()
        return probe in self.view(name).probes

    async def rule(self, name: str, heard: Reset | Configure | Delete) -> BreakerRecord:
        """A person's word, written before this returns.

        Raises NotFound, Conflict if a breaker that is not closed is to be deleted, and PublishFailed or
        ReadFailed if the bus is away.
        """
        if self._bucket is None:
            raise Unusable(f"breaker {name} is this process's own: nobody can change it from outside")

        def change(record: BreakerRecord) -> BreakerRecord:
            if not record.write or record.deleted:
                raise NotFound(f"no breaker {name}: it is there once a step has used it")
            if isinstance(heard, Delete) and record.state is not BreakerState.CLOSED:
                raise Conflict(f"breaker {name} is {record.state}: reset it before you delete it")
            return advance(record, self.default, heard)

        kept = await self._bucket.change(await self._bucket.read(name), change)
        self._learn(kept)
        self._state_soon(self._bucket, name, 0)
        return kept.record

    async def _watch(self, bucket: BreakerBucket) -> None:
        async for found in bucket.watch():
            for kept in found:
                self._learn(kept)
                self._state_soon(bucket, kept.record.name, _LOOK_AFTER_S)
            if not found:
                self._ready.set()

    async def _write(self, bucket: BreakerBucket, name: str) -> None:
        while waiting := list(self._pending[name]):

            def change(record: BreakerRecord, waiting: list[_Pending] = waiting) -> BreakerRecord:
                return self._applied(record, waiting)

            try:
                kept = await bucket.change(self._kept.get(name) or Kept(BreakerRecord(name=name)), change)
            except _BUS_AWAY as error:
                log.warning("breaker.not_written", breaker=name, error=str(error), again_in_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)
                continue
            self._pending[name] = [one for one in self._pending[name] if one not in waiting]
            self._learn(kept)
            for one in waiting:
                one.written.set()
            self._state_soon(bucket, name, 0)
        del self._writing[name]

    def _learn(self, kept: Kept) -> None:
        name = kept.record.name
        if name not in self._kept or kept.revision > self._kept[name].revision:
            self._kept[name] = kept
        self._see(name, self._applied(self._kept[name].record, self._pending[name]))

    def _applied(self, record: BreakerRecord, waiting: list[_Pending]) -> BreakerRecord:
        return reduce(lambda so_far, one: advance(so_far, self.default, one.heard), waiting, record)

    def _see(self, name: str, record: BreakerRecord) -> None:
        before = self._views.get(name)
        self._views[name] = record
        if before is not None and before.state is not record.state:
            log.info("breaker.moved", breaker=name, state=record.state, failures=record.failures)
        if record.deleted:
            for gauge in (STATE, FAILURES):
                with suppress(KeyError):
                    gauge.remove(name)
            return
        STATE.labels(name).set(_LEVELS[record.state])
        FAILURES.labels(name).set(record.failures)

    def _state_soon(self, bucket: BreakerBucket, name: str, delay_s: float) -> None:
        stating = self._stating.get(name)
        if self._kept[name].record.revision <= self._stated.get(name, 0):
            return
        if stating is not None:
            if delay_s:
                return
            stating.cancel()
        if not delay_s:
            self._own.add(name)
        self._stating[name] = asyncio.create_task(self._state(bucket, name, delay_s), name=f"states {name}")

    async def _state(self, bucket: BreakerBucket, name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while (record := self._kept[name].record).revision > self._stated.get(name, 0):
            try:
                await bucket.state_events(record)
            except (PublishFailed, ReadFailed, InvalidContract) as error:
                log.warning("breaker.not_stated", breaker=name, error=str(error), again_in_s=_LOOK_AFTER_S)
                await asyncio.sleep(_LOOK_AFTER_S)
            else:
                self._stated[name] = record.revision
        if self._stating.get(name) is asyncio.current_task():
            del self._stating[name]
            self._own.discard(name)
