"""Casefiles, sessions and evidence, as people set them up and look at them over HTTP."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from contracts.casefiles import Grant, Permission, RecordId, SessionKind, SessionName, Title, UserId
from contracts.evidence import EvidenceKind

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"^[^\x00]*$")]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CasefileSettings(_Contract):
    title: Title
    description: str = Field(default="", max_length=2_000)


class NewCasefile(CasefileSettings):
    """A casefile to be; whoever asks for it owns it."""

    grants: tuple[Grant, ...] = Field(default=(), max_length=100)


class Casefile(CasefileSettings):
    """A casefile as it stands. `revision` counts its changes. `saga_id` is of the saga that has created it."""

    casefile_id: str
    owner: str
    grants: tuple[Grant, ...]
    revision: int
    saga_id: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class CasefilePage(_Contract):
    items: list[Casefile]
    next_cursor: str | None


class GivenPermission(_Contract):
    permission: Permission


class Evidence(_Contract):
    """A piece of evidence. `source`: the mail's id or the file's path. `saga_id` is of the saga that stored it."""

    evidence_id: str
    kind: EvidenceKind
    source: str
    sha256: str
    saga_id: str
    stored_at: AwareDatetime
    content: dict[str, object]


class EvidencePage(_Contract):
    items: list[Evidence]
    next_cursor: str | None


class NewSession(_Contract):
    """A session to be found or created for whoever asks. Without a name it is the casefile's, or `default`."""

    kind: SessionKind = "tool"
    name: SessionName | None = None
    casefile_id: RecordId | None = None


class Session(_Contract):
    session_id: str
    kind: SessionKind
    user_id: UserId
    name: str
    casefile_id: str | None
    created_at: AwareDatetime
    used_at: AwareDatetime


class SessionPage(_Contract):
    items: list[Session]
    next_cursor: str | None


class SessionLink(_Contract):
    """`casefile_id` null: the session is linked to none."""

    casefile_id: RecordId | None


class Execution(_Contract):
    """What became of one step of a saga that works in the session; `at` is when it was decided."""

    saga_id: str
    definition: str
    step: str
    state: Literal["under_way", "done", "refused", "undone", "kept"]
    at: AwareDatetime
    code: str = Field(default="", description="of the error, if it was refused")
    message: str = ""


class ExecutionPage(_Contract):
    items: list[Execution]
    next_cursor: str | None


class NewMessage(_Contract):
    role: Literal["user", "assistant", "tool"] = "user"
    text: Text


class Message(NewMessage):
    number: int
    at: AwareDatetime


class MessagePage(_Contract):
    items: list[Message]
    next_cursor: str | None
