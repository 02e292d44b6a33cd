"""Casefiles: what each step of setting up, gathering evidence and analysing is told, and what it states.

Wherever a step is told no `casefile_id`, it works on that of the session its saga has opened.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from contracts.actions import ActionContract
from contracts.casefile_examples import EXAMPLES
from contracts.evidence import (
    MAX_FILES,
    MAX_MAILS,
    MAX_ROWS,
    MAX_SHEETS,
    File,
    FileFindings,
    Mail,
    MailFindings,
    MailQuery,
    Pattern,
    Report,
    Sheet,
)
from contracts.policies import NO_POLICY, Policy
from contracts.retries import ExponentialRetry, FixedRetry

UserId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}$")]
RecordId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]
SessionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Permission = Literal["read", "write", "manage"]
SessionKind = Literal["tool", "chat"]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grant(_Contract):
    """Whoever may write may read, and whoever may manage may do anything; the owner manages without a grant."""

    user_id: UserId
    permission: Permission


class SetUpCasefile(_Contract):
    """The input of `casefile-setup`. `query`: which mails are stored right away."""

    title: Title
    user_id: UserId
    query: MailQuery
    grants: tuple[Grant, ...] = ()


class GatherEvidence(_Contract):
    """The input of `casefile-gather`. `sheets` are the patterns of the files that are read as tables."""

    casefile_id: RecordId
    user_id: UserId
    query: MailQuery
    files: Pattern
    sheets: tuple[Pattern, ...] = Field(min_length=1, max_length=MAX_SHEETS)


class AnalyseCasefile(_Contract):
    """The input of `casefile-analysis`."""

    casefile_id: RecordId
    user_id: UserId


class CreateCasefile(_Contract):
    """`user_id` becomes the owner, else for whom the saga runs, else `local`."""

    title: Title
    user_id: UserId | None = None
    description: str = Field(default="", max_length=2_000)
    grants: tuple[Grant, ...] = Field(default=(), max_length=100)


class CasefileCreated(_Contract):
    casefile_id: str
    title: str
    owner: str
    created_at: AwareDatetime


class CreateSession(_Contract):
    """Find or create. A session belongs to a user and has a name; without one, it is the casefile's, or `default`.

    Without `user_id` it is of whom the saga runs for, else of the casefile's owner.
    """

    kind: SessionKind = "tool"
    casefile_id: RecordId | None = None
    user_id: UserId | None = None
    name: SessionName | None = None


class SessionOpened(_Contract):
    """`created` is false if the session was there before."""

    session_id: str
    kind: SessionKind
    user_id: str
    casefile_id: str | None
    created: bool


class LinkSession(_Contract):
    session_id: RecordId
    casefile_id: RecordId


class SessionLinked(_Contract):
    """`before` is the casefile it was linked to until then."""

    session_id: str
    casefile_id: str
    before: str | None


class SearchMail(_Contract):
    query: MailQuery
    limit: int = Field(default=50, ge=1, le=MAX_MAILS)


class MailFound(_Contract):
    """The newest mails first. `more`: there are more than were asked for."""

    mails: tuple[Mail, ...]
    more: bool = False


class ListFiles(_Contract):
    pattern: Pattern
    limit: int = Field(default=100, ge=1, le=MAX_FILES)


class FilesListed(_Contract):
    """By path. `more`: there are more than were asked for."""

    files: tuple[File, ...]
    more: bool = False


class ReadSheets(_Contract):
    """Read many tables at once. A pattern that no file fits is refused; `max_rows` is of each table."""

    patterns: tuple[Pattern, ...] = Field(min_length=1, max_length=MAX_SHEETS)
    max_rows: int = Field(default=100, ge=1, le=MAX_ROWS)


class SheetsRead(_Contract):
    sheets: tuple[Sheet, ...]


class StoreMessages(_Contract):
    """Search mails and store what is found in the casefile."""

    query: MailQuery
    casefile_id: RecordId | None = None
    user_id: UserId | None = None
    limit: int = Field(default=50, ge=1, le=MAX_MAILS)


class MessagesStored(_Contract):
    casefile_id: str
    stored: int
    more: bool = False


class StoreEvidence(_Contract):
    """Store what was found in the casefile."""

    casefile_id: RecordId | None = None
    user_id: UserId | None = None
    mails: tuple[Mail, ...] = Field(default=(), max_length=MAX_MAILS)
    files: tuple[File, ...] = Field(default=(), max_length=MAX_FILES)
    sheets: tuple[Sheet, ...] = ()


class EvidenceStored(_Contract):
    casefile_id: str
    mails: int
    files: int
    sheets: int


class FetchEvidence(_Contract):
    """`limit` is of each kind; the newest of it."""

    casefile_id: RecordId | None = None
    user_id: UserId | None = None
    limit: int = Field(default=100, ge=1, le=MAX_MAILS)


class EvidenceFetched(_Contract):
    """What the casefile holds, each content once. `more`: not all of it is here."""

    casefile_id: str
    mails: tuple[Mail, ...]
    files: tuple[File, ...]
    sheets: tuple[Sheet, ...]
    more: bool = False


class ProcessMails(_Contract):
    """`more`: there are mails beside these."""

    mails: tuple[Mail, ...]
    more: bool = False


class MailsProcessed(_Contract):
    findings: MailFindings


class ProcessFiles(_Contract):
    """`more`: there are files or tables beside these."""

    files: tuple[File, ...]
    sheets: tuple[Sheet, ...]
    more: bool = False


class FilesProcessed(_Contract):
    findings: FileFindings


class MergeFindings(_Contract):
    mails: MailFindings
    files: FileFindings
    casefile_id: RecordId | None = None
    user_id: UserId | None = None


class FindingsMerged(_Contract):
    """The report, as it is now stored in the casefile."""

    casefile_id: str
    evidence_id: str
    report: Report


# A database may be busy for a moment, a mailbox or a drive away for minutes.
QUICKLY = FixedRetry(max_attempts=3, delay_s=0.2)
PATIENTLY = ExponentialRetry(max_attempts=6, delay_s=0.5, max_delay_s=30.0)

POLICY = Policy(retry=QUICKLY)
_OUTSIDE = Policy(retry=PATIENTLY)


def _action(
    verb: str,
    given: type[BaseModel],
    stated: type[BaseModel],
    description: str,
    *,
    category: str,
    compensable: bool = False,
    policy: Policy = NO_POLICY,
    reads_only: bool = False,
) -> ActionContract:
    return ActionContract(
        name=f"casefiles.{verb}",
        input=given,
        output=stated,
        compensable=compensable,
        description=description,
        category=category,
        examples=(EXAMPLES[verb],),
        policy=policy,
        reads_only=reads_only,
    )


ACTIONS: tuple[ActionContract, ...] = (
    _action(
        "create_casefile", CreateCasefile, CasefileCreated, "Open a casefile; undo: remove it.",
        category="records", compensable=True,
    ),
    _action(
        "create_session", CreateSession, SessionOpened,
        "Find or create a session; undo: leave it, and remove it if nobody else has used it.",
        category="records", compensable=True,
    ),
    _action(
        "link_session", LinkSession, SessionLinked,
        "Link a session to a casefile; undo: link it to the one before.",
        category="records", compensable=True,
    ),
    _action(
        "search_mail", SearchMail, MailFound, "Search the mailbox.",
        category="connectors", policy=_OUTSIDE, reads_only=True,
    ),
    _action(
        "list_files", ListFiles, FilesListed, "List the drive's files.",
        category="connectors", policy=_OUTSIDE, reads_only=True,
    ),
    _action(
        "read_sheets", ReadSheets, SheetsRead, "Read CSV and XLSX files as tables, many at once.",
        category="connectors", policy=_OUTSIDE, reads_only=True,
    ),
    _action(
        "store_messages", StoreMessages, MessagesStored,
        "Search the mailbox and store what is found; undo: remove it.",
        category="evidence", compensable=True, policy=_OUTSIDE,
    ),
    _action(
        "store_evidence", StoreEvidence, EvidenceStored,
        "Store mails, files and tables in the casefile; undo: remove them.",
        category="evidence", compensable=True,
    ),
    _action(
        "fetch_evidence", FetchEvidence, EvidenceFetched, "Fetch what the casefile holds.",
        category="evidence", reads_only=True,
    ),
    _action(
        "process_mails", ProcessMails, MailsProcessed, "Find who wrote, and what is claimed.",
        category="analysis", reads_only=True,
    ),
    _action(
        "process_files", ProcessFiles, FilesProcessed, "Find what is booked, and what is there twice.",
        category="analysis", reads_only=True,
    ),
    _action(
        "merge_findings", MergeFindings, FindingsMerged,
        "Compare claims with bookings and store the report; undo: remove it.",
        category="analysis", compensable=True,
    ),
)  # fmt: skip
