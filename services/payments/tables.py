"""The tables of the payment services. Each step touches only its own, in its own database."""

from datetime import datetime
from decimal import Decimal

from sqlmodel import Field, SQLModel

from events.columns import DecimalText, UtcText


class Payment(SQLModel, table=True):
    """create_payment: the payment as an order of the sender's."""

    __tablename__ = "payments"

    payment_id: str = Field(primary_key=True)
    saga_id: str = Field(unique=True)
    reference: str = Field(index=True)
    amount: Decimal = Field(sa_type=DecimalText)
    currency: str
    sender_account: str
    status: str
    created_at: datetime = Field(sa_type=UtcText)


class ScreenedPayment(SQLModel, table=True):
    """validate_compliance: what was screened, for the velocity rule."""

    __tablename__ = "screened_payments"

    saga_id: str = Field(primary_key=True)
    account: str = Field(index=True)
    amount_usd: Decimal = Field(sa_type=DecimalText)
    risk_score: int
    screened_at: datetime = Field(sa_type=UtcText, index=True)


class Pool(SQLModel, table=True):
    """check_liquidity: what a pool holds and how much of it is free."""

    __tablename__ = "pools"

    currency: str = Field(primary_key=True)
    held: Decimal = Field(sa_type=DecimalText)
    free: Decimal = Field(sa_type=DecimalText)


class PoolEntry(SQLModel, table=True):
    """check_liquidity: every change of a pool's free amount; a reservation is negative."""

    __tablename__ = "pool_entries"

    number: int | None = Field(default=None, primary_key=True)
    reservation_id: str = Field(index=True)
    saga_id: str = Field(index=True)
    currency: str
    change: Decimal = Field(sa_type=DecimalText)
    kind: str
    at: datetime = Field(sa_type=UtcText)


class RateLock(SQLModel, table=True):
    """lock_exchange_rate: a rate promised until it expires."""

    __tablename__ = "rate_locks"

    lock_id: str = Field(primary_key=True)
    saga_id: str = Field(unique=True)
    source_currency: str
    currency: str
    rate: Decimal = Field(sa_type=DecimalText)
    payout: Decimal = Field(sa_type=DecimalText)
    status: str
    expires_at: datetime = Field(sa_type=UtcText)


class LedgerEntry(SQLModel, table=True):
    """settle_payment: an entry, chained by hash to the one before."""

    __tablename__ = "ledger_entries"

    number: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    reverses: str | None = None
    memo: str
    # Unique: two entries cannot follow the same one, so the chain cannot fork.
    previous_hash: str = Field(unique=True)
    hash: str
    at: datetime = Field(sa_type=UtcText)


class LedgerPosting(SQLModel, table=True):
    """settle_payment: one side of an entry; a debit is positive, a credit negative."""

    __tablename__ = "ledger_postings"

    number: int | None = Field(default=None, primary_key=True)
    entry_key: str = Field(index=True)
    account: str = Field(index=True)
    currency: str
    amount: Decimal = Field(sa_type=DecimalText)


class Receipt(SQLModel, table=True):
    """confirm_payment: the receipt that was sent."""

    __tablename__ = "receipts"

    receipt_number: str = Field(primary_key=True)
    saga_id: str = Field(unique=True)
    reference: str
    hash: str
    confirmed_at: datetime = Field(sa_type=UtcText)
