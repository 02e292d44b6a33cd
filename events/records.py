"""Records in a KV bucket, one key each: read from the leader, written by compare-and-set, watched."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from pydantic import BaseModel

from contracts.failure import InvalidContract, Stale
from events.bus import Bus
from events.names import EXPECTED_SEQUENCE
from events.publish import Fenced
from events.read import StreamMessage, stored, watch_stream

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept[Record: BaseModel]:
    """A record, and the revision of the bucket at which it was written."""

    record: Record
    revision: int


class RecordBucket[Record: BaseModel]:
    """Records by key. Reads go to the bucket's leader: whoever was answered a write finds it.

    `decode` raises InvalidContract; `what` is one of them, in words.
    """

    def __init__(self, bus: Bus, bucket: str, decode: Callable[[bytes], Record], what: str) -> None:
        self._bus = bus
        self._bucket = bucket
        self._decode = decode
        self._what = what

    async def read(self, key: str) -> Kept[Record] | None:
        """The record as it is on the server. Raises ReadFailed, InvalidContract."""
        found = await stored(self._bus, f"KV_{self._bucket}", subject=self._subject(key))
        return Kept(self._decode(found.data or b""), found.seq or 0) if found else None

    async def write(self, key: str, record: Record, over: int) -> Kept[Record]:
        """Write a record over that revision, 0 for none. Raises Stale if another one is there, PublishFailed."""
        headers = {EXPECTED_SEQUENCE: str(over)}
        payload = record.model_dump_json().encode()
        try:
            done = await self._bus.publisher.send(self._subject(key), payload, headers)
        except Fenced as error:
            found = await self.read(key)
            if found and found.record == record:
                # Our own write, of which only the acknowledgement was lost.
                return found
            raise Stale(f"{self._what} {key} has changed since it was read: read it again") from error
        return Kept(record, done.sequence)

    async def watch(self) -> AsyncGenerator[list[Kept[Record]]]:
        """All records, then every change, for ever; an empty list tells that all have been given out."""
        async for messages in watch_stream(self._bus, f"KV_{self._bucket}", [f"$KV.{self._bucket}.>"]):
            found = [kept for message in messages if (kept := self._kept(message))]
            if found or not messages:
                yield found

    async def all(self) -> list[Kept[Record]]:
        """Every record there is now. Raises ReadFailed."""
        everything: list[Kept[Record]] = []
        async with aclosing(self.watch()) as batches:
            async for found in batches:
                everything += found
                if not found:
                    break
        return everything

    def _subject(self, key: str) -> str:
        return f"$KV.{self._bucket}.{key}"

    def _kept(self, message: StreamMessage) -> Kept[Record] | None:
        try:
            return Kept(self._decode(message.payload), message.sequence)
        except InvalidContract as error:
            log.error("bucket.unreadable", subject=message.subject, reason=str(error))
            return None


class Known[Record: BaseModel]:
    """What this process knows of a bucket: the newest it has heard, read or written of every record."""

    def __init__(self, bucket: RecordBucket[Record], key_of: Callable[[Record], str]) -> None:
        self._bucket = bucket
        self._key_of = key_of
        self._by_key: dict[str, Kept[Record]] = {}
        self._ready = asyncio.Event()
        self.changed = asyncio.Event()
        """Set whenever something was heard; for one to clear who waits for it."""

    def get(self, key: str) -> Kept[Record] | None:
        """The record of a key, if this process has heard of it."""
        return self._by_key.get(key)

    def all(self) -> list[Kept[Record]]:
        """Every record, by key."""
        return [kept for _, kept in sorted(self._by_key.items())]

    def learn(self, kept: Kept[Record]) -> None:
        """What was read or written; nothing, if something newer is known."""
        key = self._key_of(kept.record)
        known = self._by_key.get(key)
        if known is None or known.revision < kept.revision:
            self._by_key[key] = kept

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """With all there is now, and from then on what changes."""
        watching = asyncio.create_task(self._watch(), name="known records")
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            yield
        finally:
            ready.cancel()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        async for found in self._bucket.watch():
            for kept in found:
                self.learn(kept)
            self.changed.set()
            if not found:
                self._ready.set()
