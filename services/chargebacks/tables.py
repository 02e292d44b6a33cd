"""The tables of the chargeback services. Each step touches only its own, in its own database."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from events.columns import DecimalText, UtcText


class KnownClaim(SQLModel, table=True):
    """duplicate_check: a claim that was made, and not taken back since."""

    __tablename__ = "known_claims"

    saga_id: str = Field(primary_key=True)
    wholesaler_dea: str = Field(index=True)
    claim_number: str
    invoice: str
    customer: str
    sold_on: date = Field(index=True)
    document_hash: str = Field(index=True)
    lines: list[Any] = Field(sa_type=JSON)


class Contract(SQLModel, table=True):
    """contract_eligibility: a contract on prices, from day to day."""

    __tablename__ = "contracts"

    number: str = Field(primary_key=True)
    kind: str
    gpo: str | None = None
    valid_from: date
    valid_to: date


class ContractWholesaler(SQLModel, table=True):
    """contract_eligibility: who may supply under a contract."""

    __tablename__ = "contract_wholesalers"

    contract: str = Field(primary_key=True)
    dea: str = Field(primary_key=True)


class ContractPrice(SQLModel, table=True):
    """contract_eligibility: the price of a product under a contract."""

    __tablename__ = "contract_prices"

    contract: str = Field(primary_key=True)
    ndc: str = Field(primary_key=True)
    price: Decimal = Field(sa_type=DecimalText)


class ProductRow(SQLModel, table=True):
    """contract_eligibility: a product with its list price."""

    __tablename__ = "products"

    ndc: str = Field(primary_key=True)
    name: str
    wac: Decimal = Field(sa_type=DecimalText)
    controlled: bool = False


class RosterMember(SQLModel, table=True):
    """gpo_roster_validation: a member of a purchasing organization, until the day it left."""

    __tablename__ = "roster_members"

    gpo: str = Field(primary_key=True)
    number: str = Field(primary_key=True)
    name: str
    dea: str | None = None
    hin: str | None = None
    joined: date
    left_on: date | None = None


class ReviewCase(SQLModel, table=True):
    """review: a case in the queue, or one that was in it."""

    __tablename__ = "review_cases"

    saga_id: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    state: str = Field(index=True)
    reference: str
    name: str
    shown: dict[str, Any] = Field(sa_type=JSON)
    opened_at: datetime = Field(sa_type=UtcText, index=True)
    due_at: datetime = Field(sa_type=UtcText)
    closed_at: datetime | None = Field(default=None, sa_type=UtcText)
    answer: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    problem: str = ""


class Resolution(SQLModel, table=True):
    """chargeback_resolution: what was decided, and whether it stands."""

    __tablename__ = "resolutions"

    saga_id: str = Field(primary_key=True)
    reference: str = Field(index=True)
    outcome: str
    credited: Decimal = Field(sa_type=DecimalText)
    currency: str
    credit_memo: str | None = None
    state: str
    resolved_at: datetime = Field(sa_type=UtcText)


class TrailDocument(SQLModel, table=True):
    """compliance_trail: a document of the trail, chained by hash to the one before."""

    __tablename__ = "trail_documents"

    number: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    saga_id: str = Field(index=True)
    # Unique: two documents cannot follow the same one, so the chain cannot fork.
    previous: str = Field(unique=True)
    hash: str
    document: dict[str, Any] = Field(sa_type=JSON)
