"""What is gathered for a casefile and what is found in it: mails, files, sheets, claims, bookings, the report."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.money import Money

MAX_MAILS = 100
MAX_FILES = 500
MAX_SHEETS = 20
MAX_ROWS = 500
MAX_EXCERPT = 600

Path = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]
Pattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^/\\\x00-\x1f][^\\\x00-\x1f]*$"),
    Field(description="files below the drive's root, as in `acme/**/*.csv`"),
]
MailQuery = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(description='as in `from:ann@example.com subject:"late fee" after:2026-01-31 -draft`'),
]
EvidenceKind = Literal["mail", "file", "sheet", "report"]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mail(_Contract):
    """A mail. `excerpt` is the beginning of its text; `sent_at` is null if the mail does not say."""

    message_id: str = Field(max_length=256)
    sender: str = Field(max_length=256)
    to: tuple[str, ...] = ()
    subject: str = Field(default="", max_length=256)
    sent_at: AwareDatetime | None = None
    excerpt: str = Field(default="", max_length=MAX_EXCERPT)
    attachments: tuple[str, ...] = ()


class File(_Contract):
    """A file; `path` is relative to the drive's root."""

    path: Path
    size_bytes: int = Field(ge=0)
    modified_at: AwareDatetime
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Sheet(_Contract):
    """A table of a file. Every cell is text: numbers plain, instants in ISO 8601. `more`: there are more rows."""

    path: Path
    name: str = Field(default="", max_length=128, description="of the sheet; empty: the file is one table")
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: bool = False

    @model_validator(mode="after")
    def _as_wide_as_its_columns(self) -> Self:
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {number} has {len(row)} cells: expected {len(self.columns)}, one a column"
                )
        return self


class Claim(_Contract):
    """A reference that a mail mentions, with the last amount that stands beside it."""

    reference: str
    amount: Money | None
    message_id: str


class Booking(_Contract):
    """A reference that a row of a sheet is about. `row` counts from 1 below the header."""

    reference: str
    amount: Money | None
    path: Path
    row: int = Field(ge=1)


class Correspondent(_Contract):
    address: str
    mails: int = Field(ge=1)


class MailFindings(_Contract):
    """What the mails say; the newest claim of a reference counts. `more`: there are mails or claims beside these."""

    mails: int = Field(ge=0)
    first_at: AwareDatetime | None
    last_at: AwareDatetime | None
    correspondents: tuple[Correspondent, ...]
    claims: tuple[Claim, ...]
    more: bool = False


class FileFindings(_Contract):
    """What the files say. `duplicates`: files with the same content. `more`: there is more than was looked at."""

    files: int = Field(ge=0)
    size_bytes: int = Field(ge=0)
    duplicates: tuple[tuple[str, ...], ...]
    sheets: int = Field(ge=0)
    bookings: tuple[Booking, ...]
    more: bool = False


class Difference(_Contract):
    """Mail and sheet speak of one reference, but not of one amount."""

    reference: str
    claimed: Money | None
    booked: Money | None


class Report(_Contract):
    """Mails compared with sheets, by reference; every reference is in one of the four.

    `more`: it is not about all there is, because that was too much at once.
    """

    agreed: tuple[str, ...]
    differing: tuple[Difference, ...]
    only_in_mails: tuple[str, ...]
    only_in_files: tuple[str, ...]
    mails: int
    files: int
    first_at: AwareDatetime | None
    last_at: AwareDatetime | None
    more: bool = False
