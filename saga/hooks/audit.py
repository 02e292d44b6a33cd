"""The audit hook: every stage of every attempt goes into the trail before the step goes on.

Required, so that nobody who starts a saga can have it skipped, and a step whose entry cannot be stored fails its
attempt. Entries that come together are stored together, in one block. A process that dies before an entry is stored
does not state the step either: its delivery comes again, and with it the entry. `SAGA_AUDIT_KEY` seals the blocks.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from contracts.trail import MAX_ENTRIES, TrailBlock, TrailEntry, data_hash
from events.bus import Bus
from events.clock import Clock
from events.publish import Fenced
from events.trail import Trail
from saga.hooks import Hook, HookEvent

AUDIT_KEY = "SAGA_AUDIT_KEY"
_TIMEOUT_S = 30.0


@dataclass(eq=False, slots=True)
class _Waiting:
    entry: TrailEntry
    stored: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class AuditWriter:
    """Writes the trail of one process: one block at a time and chain, of all that has come meanwhile."""

    def __init__(self, trail: Trail, key: bytes) -> None:
        self._trail = trail
        self._key = key
        self._waiting: defaultdict[str, list[_Waiting]] = defaultdict(list)
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._heads: dict[str, tuple[TrailBlock | None, int]] = {}

    async def write(self, chain: str, entry: TrailEntry) -> None:
        """Wait until the entry is stored. Raises PublishFailed, ReadFailed if the bus is away."""
        waiting = _Waiting(entry)
        self._waiting[chain].append(waiting)
        if chain not in self._writing:
            self._writing[chain] = asyncio.create_task(self._write(chain), name=f"audit {chain}")
        await waiting.stored

    async def close(self) -> None:
        """Wait for what is being stored."""
        await asyncio.gather(*self._writing.values(), return_exceptions=True)

    async def _write(self, chain: str) -> None:
        try:
            while self._waiting[chain]:
                taken = self._waiting[chain][:MAX_ENTRIES]
                self._waiting[chain] = self._waiting[chain][MAX_ENTRIES:]
                now = [one for one in taken if not one.stored.cancelled()]
                if not now:
                    continue
                try:
                    await self._append(chain, tuple(one.entry for one in now))
                except Exception as error:
                    # Those who wait for it are told, each of them.
                    self._heads.pop(chain, None)
                    _end(now, error)
                else:
                    _end(now, None)
        finally:
            del self._writing[chain]

    async def _append(self, chain: str, entries: tuple[TrailEntry, ...]) -> None:
        while True:
            before, place = self._heads.get(chain) or await self._trail.head(chain)
            block = TrailBlock(
                chain=chain,
                number=before.number + 1 if before else 1,
                previous=before.hash if before else "",
                entries=entries,
            ).sealed(self._key)
            try:
                self._heads[chain] = (block, await self._trail.append(block, place))
            except Fenced:
                # Another replica was faster: go on after its block.
                self._heads.pop(chain, None)
                continue
            return


def _end(waiting: list[_Waiting], error: Exception | None) -> None:
    for one in waiting:
        if one.stored.done():
            continue
        if error is None:
            one.stored.set_result(None)
        else:
            one.stored.set_exception(error)


def entry_of(event: HookEvent) -> TrailEntry:
    """What the trail keeps of an event: who, what, when and how it ended, and hashes of the data."""
    return TrailEntry(
        at=event.at,
        stage=event.stage,
        saga_id=event.saga_id,
        definition=event.definition,
        step=event.step,
        attempt=event.attempt,
        user=event.directives.user,
        session=event.directives.session,
        dry_run=event.directives.dry_run,
        code=event.failure.code if event.failure else "",
        input_hash=data_hash(event.input),
        output_hash=data_hash(event.output),
        duration_ms=event.duration_ms,
    )


@asynccontextmanager
async def open_audit(bus: Bus, clock: Clock) -> AsyncIterator[Hook]:
    """The audit hook over the trail of the bus."""
    writer = AuditWriter(Trail(bus), os.environ.get(AUDIT_KEY, "").encode())

    async def keep(event: HookEvent) -> None:
        await writer.write(bus.names.consumer(event.action), entry_of(event))

    try:
        yield Hook(name="audit", run=keep, order=0, required=True, timeout_s=_TIMEOUT_S)
    finally:
        await writer.close()
