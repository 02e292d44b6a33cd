"""What the payment services need from outside, as protocols: an operator that pays, a ledger that settles."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Disbursement:
    """One payout. `key` is the idempotency key: the operator pays once per key."""

    key: str
    operator: str
    phone: str
    amount: Money


class MobileMoneyOperator(Protocol):
    """A mobile-money operator. Raises Refused, Unavailable, or anything else if the effect is not known."""

    async def disburse(self, order: Disbursement) -> str:
        """Pay out, once per key; the operator's reference."""
        ...

    async def find(self, operator: str, key: str) -> str | None:
        """The reference of the payout with that key, or None if there is none that stands."""
        ...

    async def reverse(self, operator: str, key: str) -> None:
        """Call back the payout of that key, or make sure that it can never be paid any more."""
        ...

    async def notify(self, operator: str, phone: str, key: str, text: str) -> bool:
        """Send a message to the wallet's owner, once per key; whether it could be delivered."""
        ...


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry: a debit is positive, a credit negative."""

    account: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """A booked entry: its number, and the hash that chains it to the one before."""

    number: int
    hash: str


class SettlementLedger(Protocol):
    """Where payments settle; a blockchain adapter could stand here. Entries are never changed."""

    async def book(self, key: str, memo: str, postings: Sequence[Posting]) -> Entry:
        """Book an entry whose postings sum to zero in every currency; once per key."""
        ...

    async def reverse(self, key: str, reversal_key: str) -> Entry:
        """Book the opposite of the entry with that key; once per reversal key."""
        ...
