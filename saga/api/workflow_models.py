"""What is asked of workflows over HTTP, and answered."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.catalogue import RecordChange, Share, WorkflowRecord, WorkflowStatus, WorkflowVersion
from contracts.definition import Token
from events.workflows import Entry
from saga.workflows.catalogue import Words
from saga.workflows.importing import Outcome
from saga.workflows.text import Form, InvalidText, read_all, read_one

PREFIX = "/api/v1/workflows"
MAX_DOCUMENTS = 200

Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Name = Annotated[Token, Path(examples=["orders"])]
Number = Annotated[int, Path(ge=1, description="of the version")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Said(_Request):
    """Who changes a workflow, and why; both are kept."""

    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)

    @property
    def words(self) -> Words:
        return Words(self.by, self.reason)


class StatusRequest(Said):
    status: WorkflowStatus


class TagsRequest(Said):
    """All tags it is to have."""

    tags: tuple[Tag, ...] = Field(max_length=20)


class ActivateRequest(Said):
    """`version` for all new executions; the newest, unless told otherwise."""

    version: int | None = Field(default=None, ge=1)


class SplitRequest(Said):
    """The versions that new executions get, by weight."""

    shares: tuple[Share, ...]


def _words(
    by: Annotated[str, Query(max_length=128)] = "", reason: Annotated[str, Query(max_length=1024)] = ""
) -> Words:
    return Words(by, reason)


Tags = Annotated[Sequence[Tag], Query(max_length=20, description="of new workflows")]

QueryWords = Annotated[Words, Depends(_words)]
"""Who and why, where the body is a document."""


async def _document(request: Request) -> Any:
    return read_one(await request.body(), Form.of(request.headers.get("content-type", "")))


async def _documents(request: Request) -> list[Any]:
    found = read_all(await request.body(), Form.of(request.headers.get("content-type", "")))
    if len(found) > MAX_DOCUMENTS:
        raise InvalidText(f"{len(found)} documents, expected at most {MAX_DOCUMENTS} at a time")
    return found


Document = Annotated[Any, Depends(_document)]
"""The body: one document, JSON or (by its Content-Type) YAML. InvalidText, if it cannot be read."""

Documents = Annotated[list[Any], Depends(_documents)]
"""The body: a list of documents, a stream of YAML documents, or one. InvalidText, if there are too many, too."""

_OF_ANY = {"schema": {"type": "object", "description": "a workflow"}}
DOCUMENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": _OF_ANY, "application/yaml": _OF_ANY},
    }
}


class WorkflowsWanted(_Request):
    """The filters; unknown ones are refused. `q` is a part of the name or description."""

    status: list[WorkflowStatus] = []
    category: str | None = None
    tag: list[str] = Field(default=[], description="all must be there")
    prefix: str = Field(default="", max_length=64, description="beginning of the name")
    q: str = Field(default="", max_length=100)
    include_deleted: bool = False

    def fits(self, record: WorkflowRecord) -> bool:
        return (
            (self.include_deleted or not record.deleted)
            and (not self.status or record.status in self.status)
            and self.category in (None, record.category)
            and record.name.startswith(self.prefix)
            and set(self.tag) <= set(record.tags)
            and self.q.lower() in f"{record.name}\n{record.description}".lower()
        )


class WorkflowSummary(BaseModel):
    """`active`: the versions that new executions get, by weight. `revision` is that of the ETag."""

    name: str
    description: str
    category: str
    tags: tuple[str, ...]
    status: WorkflowStatus
    deleted: bool
    newest_version: int
    active: tuple[Share, ...]
    created_at: datetime
    updated_at: datetime
    revision: int

    @classmethod
    def of(cls, entry: Entry) -> "WorkflowSummary":
        return cls(**_summary(entry))


class WorkflowAnswer(WorkflowSummary):
    """With the document of `version`, and the newest changes, oldest first."""

    version: int
    document: dict[str, Any]
    changes: tuple[RecordChange, ...]

    @classmethod
    def whole(cls, entry: Entry, version: int, document: dict[str, Any]) -> "WorkflowAnswer":
        return cls(**_summary(entry), version=version, document=document, changes=entry.record.changes)


def _summary(entry: Entry) -> dict[str, Any]:
    record = entry.record
    told = {name: getattr(record, name) for name in WorkflowSummary.model_fields if hasattr(record, name)}
    return told | {"newest_version": record.newest.number, "revision": entry.revision}


class WorkflowPage(BaseModel):
    items: list[WorkflowSummary]
    next_cursor: str | None


class CategoryAnswer(BaseModel):
    category: str
    workflows: int


class CategoryPage(BaseModel):
    items: list[CategoryAnswer]


class VersionSummary(BaseModel):
    """`weight` among the active ones; null if it is not active."""

    version: int
    content_hash: str
    created_at: datetime
    by: str
    note: str
    weight: int | None

    @classmethod
    def of(cls, version: WorkflowVersion, record: WorkflowRecord) -> "VersionSummary":
        return cls(**_version(version, record))


class VersionAnswer(VersionSummary):
    document: dict[str, Any]

    @classmethod
    def whole(
        cls, version: WorkflowVersion, record: WorkflowRecord, document: dict[str, Any]
    ) -> "VersionAnswer":
        return cls(**_version(version, record), document=document)


def _version(version: WorkflowVersion, record: WorkflowRecord) -> dict[str, Any]:
    weight = next((share.weight for share in record.active if share.version == version.number), None)
    return version.model_dump(exclude={"number"}) | {"version": version.number, "weight": weight}


class VersionPage(BaseModel):
    """The newest first."""

    items: list[VersionSummary]


class DifferenceAnswer(BaseModel):
    """`pointer` leads into the document of `to`; of what was removed, into that of `from`.

    `moved`: the same steps in another order; `before` and `after` are their names.
    """

    kind: Literal["added", "removed", "changed", "moved"]
    pointer: str
    before: Any
    after: Any


class DiffAnswer(BaseModel):
    from_version: int
    to_version: int
    items: list[DifferenceAnswer]


class JudgedAnswer(BaseModel):
    """A workflow that could be saved, and the definitions it would become."""

    name: str
    definitions: tuple[str, ...]


class JudgedPage(BaseModel):
    items: list[JudgedAnswer]


class ImportedAnswer(BaseModel):
    """What became of a document. `version` is the newest now; `detail` says why it was refused."""

    name: str
    outcome: Outcome
    version: int | None
    detail: str


class ImportedPage(BaseModel):
    items: list[ImportedAnswer]
