"""The claims services' database. It is one, shared by their steps: a claim is what the phases hand to each other."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Date, LargeBinary
from sqlmodel import Field, SQLModel

from contracts.claims import ClaimStatus
from contracts.marketplace import ClaimKind
from contracts.money import Money
from events.columns import DecimalText, UtcText
from saga.action import StepDatabase


class Connection(SQLModel, table=True):
    """An account and the token by which we may read it. `state` guards the OAuth round trip until it is complete."""

    __tablename__ = "claims_connections"

    account_id: str = Field(primary_key=True)
    state: str = Field(default="", index=True)
    token: str = ""
    seller_id: str = ""
    connected_at: datetime | None = Field(default=None, sa_type=UtcText)


class StoredRecord(SQLModel, table=True):
    """A record of the marketplace's as it was synced."""

    __tablename__ = "claims_records"

    account_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    content: dict[str, Any] = Field(sa_type=JSON)


class Claim(SQLModel, table=True):
    """A claim and where it stands. `records`: the marketplace's own that show it."""

    __tablename__ = "claims"

    claim_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    run: str
    kind: str
    sku: str
    quantity: int
    amount: Decimal = Field(sa_type=DecimalText)
    currency: str
    on: date = Field(sa_type=Date)
    records: list[str] = Field(sa_type=JSON)
    status: str = Field(default=ClaimStatus.FOUND, index=True)
    confidence: int = 0
    submission: int = 0
    case_id: str = ""
    case_status: str = ""
    updated_at: datetime = Field(sa_type=UtcText)

    @property
    def money(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)

    @property
    def claim_kind(self) -> ClaimKind:
        return ClaimKind(self.kind)


class Evidence(SQLModel, table=True):
    """An invoice that proves a claim: how many of its units, how well, and why."""

    __tablename__ = "claims_evidence"

    claim_id: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    sha256: str
    quantity: int
    score: int
    parts: list[dict[str, Any]] = Field(sa_type=JSON)


class PolicyVersion(SQLModel, table=True):
    """A version of the thresholds of one kind of claim, and the rejection that taught it."""

    __tablename__ = "claims_policies"

    kind: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    thresholds: dict[str, int] = Field(sa_type=JSON)
    claim_id: str
    reason: str
    words: str
    at: datetime = Field(sa_type=UtcText)


class Question(SQLModel, table=True):
    """What the seller is asked about a claim, and the answer."""

    __tablename__ = "claims_questions"

    claim_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    saga_id: str
    step: str
    asked_at: datetime = Field(sa_type=UtcText)
    expires_at: datetime = Field(sa_type=UtcText)
    reminders: int = 0
    reminded_at: datetime | None = Field(default=None, sa_type=UtcText)
    answer: str = ""
    by: str = ""
    answered_at: datetime | None = Field(default=None, sa_type=UtcText)


class CaseChange(SQLModel, table=True):
    """A status of a case, as it was seen for the first time."""

    __tablename__ = "claims_case_changes"

    case_id: str = Field(primary_key=True)
    status: str = Field(primary_key=True)
    claim_id: str = Field(index=True)
    at: datetime = Field(sa_type=UtcText)


class EnteredPhase(SQLModel, table=True):
    """An entry of a phase, by its key: there is one."""

    __tablename__ = "claims_entered"

    key: str = Field(primary_key=True)
    phase: int
    saga_id: str
    at: datetime = Field(sa_type=UtcText)


class HeldEntry(SQLModel, table=True):
    """A saga whose phase waits until another one is entered."""

    __tablename__ = "claims_held"

    saga_id: str = Field(primary_key=True)
    step: str
    after: str = Field(index=True)
    since: datetime = Field(sa_type=UtcText)


class Transition(SQLModel, table=True):
    """The audit trail of the phases: a row for whatever happened to an entry, never changed."""

    __tablename__ = "claims_transitions"

    number: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcText)
    account_id: str = Field(index=True)
    claim_id: str = Field(default="", index=True)
    phase: int
    key: str
    outcome: str
    saga_id: str
    detail: str = ""


class PayoutEntry(SQLModel, table=True):
    """A payout in our books: what was claimed, what came, whose it is."""

    __tablename__ = "claims_payouts"

    payout_id: str = Field(primary_key=True)
    claim_id: str = Field(index=True)
    account_id: str = Field(index=True)
    case_id: str
    claimed: Decimal = Field(sa_type=DecimalText)
    paid: Decimal = Field(sa_type=DecimalText)
    difference: Decimal = Field(sa_type=DecimalText)
    verdict: str
    rate: Decimal | None = Field(default=None, sa_type=DecimalText)
    fee: Decimal | None = Field(default=None, sa_type=DecimalText)
    seller_share: Decimal | None = Field(default=None, sa_type=DecimalText)
    currency: str
    at: datetime = Field(sa_type=UtcText)


class Packet(SQLModel, table=True):
    """A claim's proof packet, as a PDF."""

    __tablename__ = "claims_packets"

    claim_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    sha256: str
    pages: int
    pdf: bytes = Field(sa_type=LargeBinary)
    at: datetime = Field(sa_type=UtcText)


DATABASE = StepDatabase(
    "claims",
    tables=(
        Connection, StoredRecord, Claim, Evidence, PolicyVersion, Question, CaseChange, EnteredPhase, HeldEntry,
        Transition, PayoutEntry, Packet,
    ),
)  # fmt: skip
