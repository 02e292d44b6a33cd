"""The catalogue of workflows as it is kept: a record for each name, and each version's document, which never changes.

A version's number is that of its definition: version 3 of `orders` is `orders@3`. A number is never used twice,
but some may be missing: a writer that lost against another, or died, leaves the number it had tried.
"""

import hashlib
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from contracts.facts import explain
from contracts.failure import InvalidContract, NotFound
from contracts.workflows import Workflow

MAX_CHANGES = 50
MAX_SHARES = 10
MAX_EARLIER = 20
MAX_VERSIONS = 500
MAX_NOTE = 160
"""So that the record of a workflow that is changed every day for years fits into one message."""


class WorkflowStatus(StrEnum):
    """Whether new executions may start: only of what is ACTIVE. A DRAFT has no active version yet."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ARCHIVED = "ARCHIVED"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WorkflowVersion(_Kept):
    """One version, without its document."""

    number: int = Field(ge=1)
    content_hash: str = Field(description="SHA-256 of the workflow's canonical JSON")
    created_at: AwareDatetime
    by: str = ""
    note: str = Field(default="", description="the beginning of the reason")


class Share(BaseModel):
    """The part of new executions that a version gets: its weight among those of all shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    weight: int = Field(default=100, ge=1, le=10_000)


class RecordChange(_Kept):
    """Something somebody did to a workflow."""

    at: AwareDatetime
    what: str
    by: str = ""
    reason: str = ""


class WorkflowRecord(_Kept):
    """What is known of a workflow. Description and category are those of its newest version.

    `versions` are the newest, and those that are active or can be rolled back to.
    `earlier` are the active splits before the present one, the last of them last: what a rollback returns to.
    """

    name: str
    description: str = ""
    category: str = "general"
    tags: tuple[str, ...] = ()
    status: WorkflowStatus = WorkflowStatus.DRAFT
    deleted: bool = False
    created_at: AwareDatetime
    updated_at: AwareDatetime
    versions: tuple[WorkflowVersion, ...] = ()
    active: tuple[Share, ...] = ()
    earlier: tuple[tuple[Share, ...], ...] = ()
    changes: tuple[RecordChange, ...] = Field(default=(), description="the newest, oldest first")

    @property
    def newest(self) -> WorkflowVersion:
        return self.versions[-1]

    def version(self, number: int) -> WorkflowVersion:
        """The version of that number. Raises NotFound, naming those there are."""
        for version in self.versions:
            if version.number == number:
                return version
        known = ", ".join(str(version.number) for version in reversed(self.versions))
        raise NotFound(f"workflow {self.name} has no version {number}: it has {known:.100}")

    def before(self, version: WorkflowVersion) -> WorkflowVersion:
        """The version before another. Raises NotFound if there is none."""
        earlier = [one for one in self.versions if one.number < version.number]
        if not earlier:
            raise NotFound(f"workflow {self.name} has no version before {version.number}")
        return earlier[-1]

    @classmethod
    def decode(cls, payload: bytes) -> "WorkflowRecord":
        """The record in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a workflow of the catalogue: {explain(error)}") from error


def document_of(workflow: Workflow) -> dict[str, Any]:
    """The workflow as its author wrote it: what was not given is left out."""
    return workflow.model_dump(mode="json", exclude_unset=True)


def hash_of(workflow: Workflow) -> str:
    """SHA-256 of the canonical JSON. A default that is written out changes nothing."""
    return hashlib.sha256(to_json(_sorted(workflow.model_dump(mode="json")))).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def share_of(shares: tuple[Share, ...], key: str) -> int:
    """The version a key falls to: the same one wherever and whenever it is asked for, while the shares stay.

    Keys are spread by their hash, so that versions get their weights' parts of many keys.
    """
    point = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    left = point % sum(share.weight for share in shares)
    for share in sorted(shares, key=lambda share: share.version):
        left -= share.weight
        if left < 0:
            return share.version
    raise AssertionError("unreachable")
