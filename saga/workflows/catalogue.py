"""The catalogue: workflows by name, in versions that never change, and which of them new executions get.

Saving a version publishes its definitions first and enters it into the record last, so whatever is in a record can
be started. A process that dies in between leaves a number that no record knows. Records are written over the
revision they were read at: of two writers one is told that it is late. An execution is pinned for life to the
version it started with; nothing done here touches it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic_core import from_json

from contracts.catalogue import (
    MAX_NOTE,
    RecordChange,
    WorkflowRecord,
    WorkflowStatus,
    WorkflowVersion,
    hash_of,
    share_of,
)
from contracts.facts import STARTED_KEY
from contracts.failure import Conflict, NotFound, Stale
from contracts.workflows import Workflow
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.read import read_saga
from events.records import Known
from events.workflows import Entry, WorkflowBucket
from saga.client import InvalidInput, SagaClient, StartedSaga, StartOptions, saga_id_of
from saga.workflows.changes import activated, noted, with_version
from saga.workflows.publishing import publish_version, refuse_foreign

type Change = Callable[[WorkflowRecord], WorkflowRecord]

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Words:
    """Who changes a workflow, and why; both are kept."""

    by: str = ""
    reason: str = ""


class Catalogue:
    """Open with `async with Catalogue.open(bus, definitions, client) as catalogue`."""

    def __init__(
        self, bus: Bus, definitions: Definitions, client: SagaClient, clock: Clock = utc_now
    ) -> None:
        self._bus = bus
        self._definitions = definitions
        self._client = client
        self._clock = clock
        self._bucket = WorkflowBucket(bus)
        self._known = Known(self._bucket, lambda record: record.name)

    @classmethod
    @asynccontextmanager
    async def open(cls, bus: Bus, definitions: Definitions, client: SagaClient) -> AsyncIterator[Self]:
        """The catalogue, with all there is in it now, and from then on what changes."""
        catalogue = cls(bus, definitions, client)
        async with catalogue._known.following():
            yield catalogue

    def all(self) -> list[Entry]:
        """Every workflow this process knows of, by name; deleted ones, too."""
        return self._known.all()

    def find(self, name: str) -> Entry | None:
        """The workflow as this process knows it, deleted or not."""
        return self._known.get(name)

    async def get(self, name: str, *, deleted: bool = False) -> Entry:
        """The workflow as it is on the server. Raises NotFound; for a deleted one, too, unless told otherwise."""
        entry = await self._bucket.read(name)
        if entry is None or (entry.record.deleted and not deleted):
            raise NotFound(f"no workflow {name}")
        self._known.learn(entry)
        return entry

    async def document(self, name: str, number: int) -> dict[str, Any]:
        """A version of a workflow as it was written. Raises NotFound."""
        found = await self._bucket.document(name, number)
        if found is None:
            raise NotFound(f"no workflow {name} of version {number}")
        document: dict[str, Any] = from_json(found)
        return document

    async def create(
        self, workflow: Workflow, words: Words, *, tags: tuple[str, ...] = (), activate: bool = False
    ) -> Entry:
        """A new workflow with its first version; one that was deleted comes back with a further one.

        Raises InvalidDefinition, Conflict if there is one of that name, or a definition from elsewhere.
        """
        name, now = workflow.name, self._clock()
        entry = await self._bucket.read(name)
        if entry is None:
            await refuse_foreign(name, self._bucket, self._definitions)
            record = WorkflowRecord(name=name, created_at=now, updated_at=now)
        elif entry.record.deleted:
            fresh = {"deleted": False, "status": WorkflowStatus.DRAFT, "active": ()}
            record = entry.record.model_copy(update=fresh)
        else:
            raise Conflict(f"workflow {name} exists: update it, or choose another name")
        record = await self._with_version(record.model_copy(update={"tags": tags}), workflow, words, activate)
        return await self._write(record, entry.revision if entry else 0)

    async def update(
        self, workflow: Workflow, expected: int | None, words: Words, *, activate: bool = False
    ) -> Entry:
        """A further version; nothing, if the content is that of the newest one.

        `expected` is the revision the caller has read, None for any. Raises InvalidDefinition, NotFound, Stale,
        Conflict if it is archived.
        """
        for _ in range(_TRIES):
            entry = await self._expected(workflow.name, expected)
            record = entry.record
            if record.newest.content_hash != hash_of(workflow):
                record = await self._with_version(record, workflow, words, activate)
            elif activate:
                record = self._noted(activated(record, None), entry.record, "activated", words)
            if record == entry.record:
                return entry
            with suppress(Stale):
                return await self._write(record, entry.revision)
        raise Stale(f"workflow {workflow.name} changes too fast to be changed: try again")

    async def change(self, name: str, expected: int | None, what: str, words: Words, change: Change) -> Entry:
        """Change a workflow's record by one of the functions of `changes`.

        `expected` as for `update`. Raises NotFound, Stale, and what the change raises.
        """
        for _ in range(_TRIES):
            entry = await self._expected(name, expected)
            wanted = self._noted(change(entry.record), entry.record, what, words)
            if wanted == entry.record:
                return entry
            with suppress(Stale):
                return await self._write(wanted, entry.revision)
        raise Stale(f"workflow {name} changes too fast to be changed: try again")

    async def delete(
        self, name: str, expected: int | None, words: Words, *, running: int, force: bool = False
    ) -> Entry:
        """Take a workflow out of sight. Its executions, `running` of them, go on to their end.

        Raises NotFound, Stale, Conflict while any are running unless forced.
        """
        if running and not force:
            raise Conflict(f"workflow {name} has {running} running executions: wait, cancel them or force it")
        gone = {"deleted": True, "status": WorkflowStatus.ARCHIVED}
        return await self.change(
            name, expected, "deleted", words, lambda record: record.model_copy(update=gone)
        )

    async def restore(self, name: str, words: Words) -> Entry:
        """Bring a deleted workflow back, archived. Raises NotFound if it never was, Stale."""
        entry = await self.get(name, deleted=True)
        if not entry.record.deleted:
            return entry
        back = entry.record.model_copy(update={"deleted": False})
        return await self._write(self._noted(back, entry.record, "restored", words), entry.revision)

    async def choose(self, name: str, saga_id: str) -> str:
        """The definition `name@version` that a new execution of that id gets; `name@version` asks for that one.

        Raises NotFound, Conflict if the workflow is not active.
        """
        name, _, wanted = name.partition("@")
        entry = self._known.get(name) or await self._bucket.read(name)
        if entry is None or entry.record.deleted:
            raise NotFound(f"no workflow {name}")
        record = entry.record
        if record.status != WorkflowStatus.ACTIVE:
            raise Conflict(f"workflow {name} is {record.status}: only an ACTIVE one can be started")
        if not wanted:
            return f"{name}@{share_of(record.active, f'{name} {saga_id}')}"
        if wanted not in {str(version.number) for version in record.versions}:
            raise NotFound(f"workflow {name} has no version {wanted}")
        return f"{name}@{wanted}"

    async def execute(
        self, name: str, input: dict[str, Any], options: StartOptions | None = None
    ) -> StartedSaga:
        """Start an execution of `name`, in the version it falls to, or of `name@version`.

        A repeat with the same key finds the one it has started, in that one's version, whatever has become of the
        workflow since. Raises NotFound, Conflict (not active, or the key started something else), InvalidInput.
        """
        options = options or StartOptions()
        saga_id = saga_id_of(options)
        pinned = replace(options, saga_id=saga_id)
        ref = ""
        try:
            ref = await self.choose(name, saga_id)
            return await self._client.start(ref, input, pinned)
        except (Conflict, NotFound, InvalidInput):
            earlier = await self.started_as(saga_id)
            same = earlier == name if "@" in name else earlier.partition("@")[0] == name
            if earlier == ref or not same:
                raise
            return await self._client.start(earlier, input, pinned)

    async def start(
        self, definition: str, input: dict[str, Any], options: StartOptions | None = None
    ) -> StartedSaga:
        """As `execute` for workflows of the catalogue, as `SagaClient.start` for all other definitions."""
        known = self._known.get(definition.partition("@")[0])
        return await (self.execute if known else self._client.start)(definition, input, options)

    async def started_as(self, saga_id: str) -> str:
        """The definition that a saga was started with; empty if there is none of that id."""
        facts = await read_saga(self._bus, saga_id)
        return next((one.fact.definition for one in facts if one.fact.key == STARTED_KEY), "")

    async def _expected(self, name: str, expected: int | None) -> Entry:
        entry = await self.get(name)
        if expected not in (None, entry.revision):
            raise Stale(f"workflow {name} has changed since it was read: read it again")
        return entry

    async def _with_version(
        self, record: WorkflowRecord, workflow: Workflow, words: Words, activate: bool
    ) -> WorkflowRecord:
        first = record.newest.number + 1 if record.versions else 1
        version = WorkflowVersion(
            number=first, content_hash=hash_of(workflow), created_at=self._clock(), by=words.by,
            note=words.reason[:MAX_NOTE],
        )  # fmt: skip
        # Refused before anything is published.
        with_version(record, workflow, version)
        number = await publish_version(workflow, first, self._bucket, self._definitions)
        changed = with_version(record, workflow, version.model_copy(update={"number": number}))
        what = f"version {number}{' activated' if activate else ''}"
        return self._noted(activated(changed, number) if activate else changed, record, what, words)

    def _noted(
        self, changed: WorkflowRecord, before: WorkflowRecord, what: str, words: Words
    ) -> WorkflowRecord:
        if changed == before:
            return changed
        return noted(changed, RecordChange(at=self._clock(), what=what, by=words.by, reason=words.reason))

    async def _write(self, record: WorkflowRecord, over: int) -> Entry:
        entry = await self._bucket.write(record.name, record, over)
        self._known.learn(entry)
        return entry
