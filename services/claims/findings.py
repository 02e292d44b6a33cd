"""Detection: which of an account's records show that the marketplace owes the seller something. Pure.

Lost, damaged and not returned goods are open items per SKU. What was found again or has been reimbursed closes the
oldest item before it, unit by unit; what is still open when the marketplace's own time to settle it is over is a
finding. A fee is held against the price list, and a month's overcharges of one SKU are one finding.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import batched
from typing import Any, Self

from contracts.marketplace import (
    MAX_RECORDS,
    RECORDS,
    REFERRAL_RATE,
    Adjustment,
    ClaimKind,
    CustomerReturn,
    FeeCharge,
    Invoice,
    Order,
    Product,
    Reimbursement,
    fulfilment_fee,
)

LOST_AFTER = timedelta(days=30)
"""So long the marketplace may look for what it has lost, or settle by itself what it has damaged."""
RETURN_AFTER = timedelta(days=45)
"""So long the goods of a refunded order may be on their way back."""
_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """An account's records, as far as they go."""

    products: Sequence[Product] = ()
    orders: Sequence[Order] = ()
    adjustments: Sequence[Adjustment] = ()
    fees: Sequence[FeeCharge] = ()
    returns: Sequence[CustomerReturn] = ()
    reimbursements: Sequence[Reimbursement] = ()
    invoices: Sequence[Invoice] = ()

    @classmethod
    def of(cls, rows: Mapping[str, Iterable[Any]]) -> Self:
        """The records in rows of JSON data, by kind. Raises ValidationError, or KeyError for an unknown kind."""
        found: dict[str, Any] = {
            kind: [RECORDS[kind].model_validate(row) for row in of_kind] for kind, of_kind in rows.items()
        }
        return cls(**found)

    @property
    def newest(self) -> date:
        """The day of the newest record: that far the marketplace has told. `date.min` if there are none."""
        dated: tuple[Sequence[Order | Adjustment | FeeCharge | Reimbursement], ...]
        dated = (self.orders, self.adjustments, self.fees, self.reimbursements)
        days = [record.on for records in dated for record in records]
        return max([*days, *(one.refunded_on for one in self.returns)], default=date.min)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something to claim. `records` are the marketplace's own records that show it."""

    kind: ClaimKind
    sku: str
    quantity: int
    amount: Decimal
    on: date
    records: tuple[str, ...]

    def claim_id(self, account_id: str) -> str:
        """The same finding of the same account has the same id in every run."""
        said = "\n".join((account_id, self.kind, *sorted(self.records)))
        return f"C-{hashlib.sha256(said.encode()).hexdigest()[:16].upper()}"


def detect(records: Records, claimed: Collection[str] = ()) -> list[Finding]:
    """All findings, the oldest first, but for the records that are `claimed` already.

    What has no price (never sold, no invoice) is none: nobody can claim it.
    """
    prices = _Prices(records)
    found = [
        *_inventory(records, prices, claimed, ClaimKind.LOST_INVENTORY, "lost"),
        *_inventory(records, prices, claimed, ClaimKind.DAMAGED_INVENTORY, "damaged"),
        *_fees(records, claimed),
        *_returns(records, claimed),
    ]
    return sorted(found, key=lambda one: (one.on, one.kind, one.sku, one.records))


@dataclass(slots=True)
class _Item:
    """An open item: units of a record that nobody has accounted for."""

    record: str
    on: date
    quantity: int
    units: int = field(default=0)
    amount: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal:
        """The part of `amount` that belongs to the units that are open."""
        return (self.amount * self.quantity / self.units).quantize(_CENT, ROUND_HALF_EVEN)


def _close(
    items: Iterable[_Item], settlements: Iterable[tuple[date, int]], claimed: Collection[str]
) -> list[_Item]:
    """What remains open after every settlement has closed the oldest units that were open before it.

    What is claimed already takes its part of the settlements, too.
    """
    waiting = sorted(items, key=lambda item: (item.on, item.record))
    for on, quantity in sorted(settlements):
        left = quantity
        for item in waiting:
            if item.on > on:
                break
            closed = min(item.quantity, left)
            item.quantity -= closed
            left -= closed
    return [item for item in waiting if item.quantity and item.record not in claimed]


def _by_sku[R: (Adjustment, FeeCharge, CustomerReturn)](records: Iterable[R]) -> dict[str, list[R]]:
    sorted_out: dict[str, list[R]] = defaultdict(list)
    for record in records:
        sorted_out[record.sku].append(record)
    return sorted_out


def _reimbursed(records: Records, kind: ClaimKind, sku: str) -> list[tuple[date, int]]:
    return [(one.on, one.quantity) for one in records.reimbursements if (one.kind, one.sku) == (kind, sku)]


def _inventory(
    records: Records, prices: "_Prices", claimed: Collection[str], kind: ClaimKind, reason: str
) -> Iterator[Finding]:
    until = records.newest
    for sku, changes in _by_sku(records.adjustments).items():
        items = [
            _Item(one.adjustment_id, one.on, one.quantity, one.quantity)
            for one in changes
            if one.reason == reason
        ]
        settled = _reimbursed(records, kind, sku)
        if kind is ClaimKind.LOST_INVENTORY:
            settled += [(one.on, one.quantity) for one in changes if one.reason == "found"]
        for item in _close(items, settled, claimed):
            price = prices.of(sku, item.on)
            if until - item.on <= LOST_AFTER or price is None:
                continue
            yield Finding(
                kind=kind, sku=sku, quantity=item.quantity, amount=price * item.quantity, on=item.on,
                records=(item.record,),
            )  # fmt: skip


def _fees(records: Records, claimed: Collection[str]) -> Iterator[Finding]:
    products = {product.sku: product for product in records.products}
    for sku, charges in _by_sku(records.fees).items():
        if sku not in products:
            continue
        owed = fulfilment_fee(products[sku])
        items = [
            _Item(one.fee_id, one.on, one.quantity, one.quantity, too_much)
            for one in charges
            if (too_much := one.charged - owed * one.quantity) > 0
        ]
        months: dict[tuple[int, int], list[_Item]] = defaultdict(list)
        for item in _close(items, _reimbursed(records, ClaimKind.FEE_OVERCHARGE, sku), claimed):
            months[item.on.year, item.on.month].append(item)
        for some in (some for month in months.values() for some in batched(month, MAX_RECORDS)):
            yield Finding(
                kind=ClaimKind.FEE_OVERCHARGE, sku=sku, quantity=sum(item.quantity for item in some),
                amount=sum((item.left for item in some), Decimal(0)), on=some[-1].on,
                records=tuple(item.record for item in some),
            )  # fmt: skip


def _returns(records: Records, claimed: Collection[str]) -> Iterator[Finding]:
    until = records.newest
    for sku, returns in _by_sku(records.returns).items():
        items = [
            _Item(one.return_id, one.refunded_on, one.quantity, one.quantity, without_referral(one.refunded))
            for one in returns
            if one.received_on is None
        ]
        for item in _close(items, _reimbursed(records, ClaimKind.MISSING_RETURN, sku), claimed):
            if until - item.on > RETURN_AFTER:
                yield Finding(
                    kind=ClaimKind.MISSING_RETURN, sku=sku, quantity=item.quantity, amount=item.left,
                    on=item.on, records=(item.record,),
                )  # fmt: skip


def without_referral(price: Decimal) -> Decimal:
    """What of a price would have been the seller's, to the cent."""
    return (price * (1 - REFERRAL_RATE)).quantize(_CENT, ROUND_HALF_EVEN)


class _Prices:
    """What a unit is worth on a day: the last price it was sold for, without the marketplace's share; else its cost."""

    def __init__(self, records: Records) -> None:
        self._sold: dict[str, list[tuple[date, str, Decimal]]] = defaultdict(list)
        for order in records.orders:
            self._sold[order.sku].append((order.on, order.order_id, order.unit_price))
        for sold in self._sold.values():
            sold.sort()
        self._cost = {invoice.sku: invoice.unit_cost for invoice in records.invoices}

    def of(self, sku: str, on: date) -> Decimal | None:
        sold = self._sold.get(sku)
        if not sold:
            return self._cost.get(sku)
        before = [price for day, _, price in sold if day <= on]
        return without_referral(before[-1] if before else sold[0][2])
