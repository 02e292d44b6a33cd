"""The catalogue of workflows on the bus: a bucket of records, written over the revision they were made from, and
a bucket of documents, each written once.

Reads go to the buckets' leaders: whoever has written a record and is answered finds it.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog

from contracts.catalogue import WorkflowRecord
from contracts.failure import InvalidContract, Stale
from events.bus import Bus
from events.names import EXPECTED_SEQUENCE
from events.publish import Fenced
from events.read import stored, watch_stream

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and the revision of the bucket at which it was written."""

    record: WorkflowRecord
    revision: int


class WorkflowBucket:
    """Records by name, documents by name and number."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self, name: str) -> Entry | None:
        """The record as it is on the server. Raises ReadFailed, InvalidContract if it cannot be read."""
        found = await self._get(self._bus.names.workflows, name)
        return Entry(WorkflowRecord.decode(found[1]), found[0]) if found else None

    async def write(self, record: WorkflowRecord, over: int) -> Entry:
        """Write a record over that revision, 0 for none.

        Raises Stale if another one is there, PublishFailed if it is not known whether it was stored.
        """
        bucket, payload = self._bus.names.workflows, record.model_dump_json().encode()
        try:
            return Entry(record, await self._put(bucket, record.name, payload, over))
        except Fenced as error:
            found = await self._get(bucket, record.name)
            if found and found[1] == payload:
                # Our own write, of which only the acknowledgement was lost.
                return Entry(record, found[0])
            raise Stale(f"workflow {record.name} has changed since it was read: read it again") from error

    async def document(self, name: str, number: int) -> bytes | None:
        """The document of a version. Raises ReadFailed."""
        found = await self._get(self._bus.names.workflow_versions, f"{name}.{number}")
        return found[1] if found else None

    async def keep_document(self, name: str, number: int, document: bytes) -> bool:
        """Keep a version's document; False if the number has another one. Raises PublishFailed, ReadFailed."""
        bucket, key = self._bus.names.workflow_versions, f"{name}.{number}"
        try:
            await self._put(bucket, key, document, 0)
        except Fenced:
            return await self.document(name, number) == document
        return True

    async def watch(self) -> AsyncGenerator[list[Entry]]:
        """All records, then every change, for ever; an empty list tells that all have been given out."""
        bucket = self._bus.names.workflows
        async for messages in watch_stream(self._bus, f"KV_{bucket}", [f"$KV.{bucket}.>"]):
            found = []
            for message in messages:
                try:
                    found.append(Entry(WorkflowRecord.decode(message.payload), message.sequence))
                except InvalidContract as error:
                    log.error("workflows.unreadable", subject=message.subject, reason=str(error))
            if found or not messages:
                yield found

    async def _get(self, bucket: str, key: str) -> tuple[int, bytes] | None:
        found = await stored(self._bus, f"KV_{bucket}", subject=f"$KV.{bucket}.{key}")
        return (found.seq or 0, found.data or b"") if found else None

    async def _put(self, bucket: str, key: str, payload: bytes, over: int) -> int:
        headers = {EXPECTED_SEQUENCE: str(over)}
        return (await self._bus.publisher.send(f"$KV.{bucket}.{key}", payload, headers)).sequence
