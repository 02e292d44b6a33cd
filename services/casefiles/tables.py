"""The tables of casefiles. All steps share them, in one database: a session's history is about all of them."""

from datetime import datetime

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field, SQLModel

from events.columns import UtcText
from saga.action import StepDatabase


class CasefileRow(SQLModel, table=True):
    """A casefile. `saga_id` and `step` are what has created it; null if a person has."""

    __tablename__ = "casefiles"

    casefile_id: str = Field(primary_key=True)
    saga_id: str | None = Field(default=None, index=True)
    step: str | None = None
    title: str
    description: str = ""
    owner: str = Field(index=True)
    revision: int = 1
    created_at: datetime = Field(sa_type=UtcText)
    updated_at: datetime = Field(sa_type=UtcText)


class GrantRow(SQLModel, table=True):
    """What a user other than the owner may do."""

    __tablename__ = "casefile_grants"

    casefile_id: str = Field(primary_key=True, foreign_key="casefiles.casefile_id", ondelete="CASCADE")
    user_id: str = Field(primary_key=True, index=True)
    permission: str


class SessionRow(SQLModel, table=True):
    """A tool or chat session. A `kept` one was opened by a person, and no undo removes it."""

    __tablename__ = "casefile_sessions"
    __table_args__ = (UniqueConstraint("user_id", "kind", "name"),)

    session_id: str = Field(primary_key=True)
    user_id: str
    kind: str
    name: str
    casefile_id: str | None = Field(
        default=None, index=True, foreign_key="casefiles.casefile_id", ondelete="SET NULL"
    )
    kept: bool = False
    created_at: datetime = Field(sa_type=UtcText)
    used_at: datetime = Field(sa_type=UtcText)


class SessionUse(SQLModel, table=True):
    """A saga that works in a session. `linked`: it has linked the session to the casefile.

    `left`: it was undone, so that it is in the history only.
    """

    __tablename__ = "casefile_session_uses"

    session_id: str = Field(primary_key=True, foreign_key="casefile_sessions.session_id", ondelete="CASCADE")
    saga_id: str = Field(primary_key=True, index=True)
    step: str = Field(primary_key=True)
    definition: str
    linked: bool = False
    left: bool = False
    at: datetime = Field(sa_type=UtcText)


class MessageRow(SQLModel, table=True):
    """What was said in a chat session."""

    __tablename__ = "casefile_messages"

    number: int | None = Field(default=None, primary_key=True)
    session_id: str = Field(index=True, foreign_key="casefile_sessions.session_id", ondelete="CASCADE")
    role: str
    text: str
    at: datetime = Field(sa_type=UtcText)


class EvidenceRow(SQLModel, table=True):
    """One piece of evidence, as one step of one saga has stored it."""

    __tablename__ = "casefile_evidence"

    evidence_id: str = Field(primary_key=True)
    casefile_id: str = Field(index=True, foreign_key="casefiles.casefile_id", ondelete="CASCADE")
    saga_id: str = Field(index=True)
    step: str
    kind: str
    source: str
    sha256: str
    content: dict[str, object] = Field(sa_type=JSON)
    stored_at: datetime = Field(sa_type=UtcText)


DATABASE = StepDatabase(
    "casefiles", tables=(CasefileRow, GrantRow, SessionRow, SessionUse, MessageRow, EvidenceRow)
)
