"""Limits on the bus: one key per action, written only over the revision it was read at."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from contracts.failure import Conflict
from contracts.limits import Entry, LimitRecord, enter, leave
from events.bus import Bus
from events.clock import monotonic
from events.names import EXPECTED_SEQUENCE
from events.publish import Fenced
from events.read import stored

_TRIES = 50
# So long a refusal is given again without asking: those who wait would read the server empty.
_TRUSTED_S = 0.05


@dataclass(frozen=True, slots=True)
class _Known:
    """A record, its revision, and when it was the newest."""

    record: LimitRecord
    revision: int
    at: float


class LimitBucket:
    """The limits of all actions. In one process an action's changes are made one after the other."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: dict[str, _Known] = {}

    async def enter(self, action: str, entry: Entry, now: datetime) -> float:
        """Let somebody in: 0, or the seconds after which to ask again.

        Raises Conflict if others are always faster, PublishFailed or ReadFailed if the bus is away.
        """
        async with self._locks[action]:
            for _ in range(_TRIES):
                known = self._known.get(action) or await self._read(action)
                let = enter(known.record, entry, now)
                if let.wait_s and monotonic() - known.at > _TRUSTED_S:
                    # What is remembered may be old: somebody may have left.
                    del self._known[action]
                    continue
                if let.wait_s or await self._write(action, let.record, known.revision):
                    return let.wait_s
            raise Conflict(f"the limits of {action} change too fast: try again")

    async def leave(self, action: str, name: str) -> None:
        """Let somebody out. Raises as `enter`; then its lease ends it."""
        async with self._locks[action]:
            for _ in range(_TRIES):
                known = self._known.get(action) or await self._read(action)
                left = leave(known.record, name)
                if left is known.record and monotonic() - known.at > _TRUSTED_S:
                    del self._known[action]
                    continue
                if left is known.record or await self._write(action, left, known.revision):
                    return
            raise Conflict(f"the limits of {action} change too fast: try again")

    async def _write(self, action: str, record: LimitRecord, revision: int) -> bool:
        payload, headers = record.model_dump_json().encode(), {EXPECTED_SEQUENCE: str(revision)}
        try:
            done = await self._bus.publisher.send(self._key(action), payload, headers)
        except Fenced:
            self._known.pop(action, None)
            return False
        self._known[action] = _Known(record, done.sequence, monotonic())
        return True

    async def _read(self, action: str) -> "_Known":
        found = await stored(self._bus, f"KV_{self._bus.names.limits}", subject=self._key(action))
        record = LimitRecord.decode(found.data or b"") if found else LimitRecord()
        self._known[action] = _Known(record, (found.seq or 0) if found else 0, monotonic())
        return self._known[action]

    def _key(self, action: str) -> str:
        return f"$KV.{self._bus.names.limits}.{action}"
