"""The catalogue of workflows on the bus: a bucket of records, written over the revision they were made from, and
a bucket of documents, each written once.

Reads go to the buckets' leaders: whoever has written a record and is answered finds it.
"""

from contracts.catalogue import WorkflowRecord
from events.bus import Bus
from events.names import EXPECTED_SEQUENCE
from events.publish import Fenced
from events.read import stored
from events.records import Kept, RecordBucket

type Entry = Kept[WorkflowRecord]


class WorkflowBucket(RecordBucket[WorkflowRecord]):
    """Records by name, documents by name and number."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, bus.names.workflows, WorkflowRecord.decode, "workflow")
        self._documents = bus.names.workflow_versions

    async def document(self, name: str, number: int) -> bytes | None:
        """The document of a version. Raises ReadFailed."""
        found = await stored(self._bus, f"KV_{self._documents}", subject=self._place(name, number))
        return (found.data or b"") if found else None

    async def keep_document(self, name: str, number: int, document: bytes) -> bool:
        """Keep a version's document; False if the number has another one. Raises PublishFailed, ReadFailed."""
        try:
            await self._bus.publisher.send(self._place(name, number), document, {EXPECTED_SEQUENCE: "0"})
        except Fenced:
            return await self.document(name, number) == document
        return True

    def _place(self, name: str, number: int) -> str:
        return f"$KV.{self._documents}.{name}.{number}"
