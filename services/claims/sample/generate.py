"""Writes the synthetic seller's files: the same seed gives the same files.

Run: python -m services.claims.sample.generate

Every SKU loses, damages or gets back goods in one way only, either honestly settled or not, so that what is owed is
known exactly. Two records deceive: a found unit booked on another SKU, and one booked on a SKU that had lost its own.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from random import Random
from typing import Any

from contracts.marketplace import RECORDS, REFERRAL_RATE, TIERS, ClaimKind, Product, fulfilment_fee
from services.claims.sample import FOLDER, OWED

SEED = 20251231
FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)
_RISE = date(2025, 7, 1)
_ORDERS_A_MONTH = 60
_GOODS = ("TEA", "CUP", "MUG", "POT", "JAR", "LID", "TIN", "BOX", "MAT", "PAD", "PEN", "INK")
_MOODS = ("pays",) * 5 + (
    "wants_more",
    "pays",
    "out_of_window",
    "pays",
    "wants_more",
    "pays",
    "policy",
    "short",
)
_CENT = Decimal("0.01")


@dataclass
class Seller:
    """Records by kind, and what is owed."""

    random: Random
    records: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in RECORDS})
    owed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, records: str, prefix: str, **values: Any) -> str:
        """Add a record; its id."""
        rows = self.records[records]
        name = f"{prefix}-{len(rows) + 1:05d}"
        rows.append({_ID_OF[records]: name, **values})
        return name

    def owe(self, kind: ClaimKind, sku: str, quantity: int, amount: Decimal, records: Sequence[str]) -> None:
        mood = _MOODS[len(self.owed) % len(_MOODS)]
        self.owed.append(
            {
                "kind": kind.value,
                "sku": sku,
                "quantity": quantity,
                "amount": amount,
                "records": " ".join(records),
                "mood": mood,
            }
        )

    def worth(self, sku: str, on: date) -> Decimal:
        """What a unit is worth by the marketplace's rule: its last price, without the referral fee."""
        sold = [one for one in self.records["orders"] if one["sku"] == sku]
        before = [one for one in sold if one["on"] <= on] or sold[:1]
        return _net(before[-1]["unit_price"])

    def day(self, first: date = date(2025, 2, 1), last: date = date(2025, 11, 20)) -> date:
        return first + timedelta(days=self.random.randrange((last - first).days))


_ID_OF: Mapping[str, str] = {
    "products": "sku",
    "orders": "order_id",
    "adjustments": "adjustment_id",
    "fees": "fee_id",
    "returns": "return_id",
    "reimbursements": "reimbursement_id",
    "invoices": "invoice_id",
}


def _net(price: Decimal) -> Decimal:
    return (price * (1 - REFERRAL_RATE)).quantize(_CENT, ROUND_HALF_EVEN)


def generate(seed: int = SEED) -> Seller:
    """The seller of a seed."""
    seller = Seller(Random(seed))  # noqa: S311 - a sample, nothing secret
    skus = _catalogue(seller)
    _orders(seller, skus)
    _fees(seller)
    _inventory(seller, skus)
    _returns(seller, skus)
    _invoices(seller, skus)
    return seller


def _catalogue(seller: Seller) -> list[str]:
    for number in range(2 * len(_GOODS)):
        goods = _GOODS[number % len(_GOODS)]
        tier = TIERS[(0, 0, 1, 1, 2)[number % 5]]
        seller.records["products"].append(
            {
                "sku": f"{goods}-{100 + 37 * number}",
                "title": f"{goods.title()} no. {number + 1}",
                "weight_g": tier.up_to_g - 10 * seller.random.randrange(1, 20),
                "longest_side_mm": tier.up_to_mm - seller.random.randrange(1, 60),
            }
        )
    return [product["sku"] for product in seller.records["products"]]


def _orders(seller: Seller, skus: Sequence[str]) -> None:
    prices = {sku: Decimal(seller.random.randrange(900, 6_000)) / 100 for sku in skus}
    days = sorted(seller.day(FIRST, LAST) for _ in range(12 * _ORDERS_A_MONTH - len(skus)))
    # Each is sold on the first day, so that everything has a price all year.
    for on, sku in [*((FIRST, sku) for sku in skus), *((on, seller.random.choice(skus)) for on in days)]:
        price = prices[sku] if on < _RISE else (prices[sku] * Decimal("1.08")).quantize(_CENT)
        quantity = seller.random.choice((1, 1, 1, 2, 3))
        seller.add("orders", "O", sku=sku, quantity=quantity, unit_price=price, on=on)


def _fees(seller: Seller) -> None:
    fees = {one["sku"]: fulfilment_fee(Product.model_validate(one)) for one in seller.records["products"]}
    months: dict[tuple[str, int], int] = {}
    for order in seller.records["orders"]:
        key = (order["sku"], order["on"].month)
        months[key] = months.get(key, 0) + 1
    busy = sorted(key for key, count in months.items() if count >= 4)
    dear = set(seller.random.sample(busy, 6))
    wrong: dict[tuple[str, int], list[tuple[str, int, Decimal]]] = {}
    for order in seller.records["orders"]:
        sku, quantity, key = order["sku"], order["quantity"], (order["sku"], order["on"].month)
        charged = fees[sku] * quantity
        too_much = (_next_tier(fees[sku]) - fees[sku]) * quantity if key in dear else Decimal(0)
        fee_id = seller.add(
            "fees", "F", order_id=order["order_id"], sku=sku, quantity=quantity, charged=charged + too_much,
            on=order["on"],
        )  # fmt: skip
        if too_much:
            wrong.setdefault(key, []).append((fee_id, quantity, too_much))
    for (sku, _), charges in sorted(wrong.items()):
        amount = sum((one[2] for one in charges), Decimal(0))
        seller.owe(
            ClaimKind.FEE_OVERCHARGE, sku, sum(one[1] for one in charges), amount, [one[0] for one in charges]
        )


def _next_tier(fee: Decimal) -> Decimal:
    return next(tier.fee for tier in TIERS if tier.fee > fee)


def _inventory(seller: Seller, skus: Sequence[str]) -> None:
    half = len(skus) // 2
    for sku in (*skus[:half], skus[0], skus[3]):
        _changed(seller, sku, "lost", owed=True)
    for sku in skus[half : half + 10]:
        _changed(seller, sku, "damaged", owed=True)
    for sku in skus[half:-1]:
        on, quantity, _ = _changed(seller, sku, "lost")
        back = on + timedelta(days=seller.random.randrange(2, 25))
        seller.add("adjustments", "A", sku=sku, reason="found", quantity=quantity, on=back)
    for sku in skus[:8]:
        on, quantity, _ = _changed(seller, sku, "damaged")
        _reimburse(seller, ClaimKind.DAMAGED_INVENTORY, sku, quantity, on)
    # Found, but booked on a SKU that had lost nothing: nothing is owed, though it looks so.
    on, _, _ = _changed(seller, skus[-1], "lost", quantity=2)
    seller.add("adjustments", "A", sku="UNKNOWN-1", reason="found", quantity=2, on=on + timedelta(days=6))
    # And a unit of somebody else's, booked on a SKU whose own loss it hides.
    on, quantity, _ = _changed(seller, skus[-2], "lost", quantity=1, owed=True)
    seller.add("adjustments", "A", sku=skus[-2], reason="found", quantity=1, on=on + timedelta(days=90))


def _changed(
    seller: Seller, sku: str, reason: str, *, quantity: int = 0, owed: bool = False
) -> tuple[date, int, str]:
    on = seller.day(last=date(2025, 8, 31))
    quantity = quantity or seller.random.randrange(1, 7)
    record = seller.add("adjustments", "A", sku=sku, reason=reason, quantity=quantity, on=on)
    if owed:
        kind = ClaimKind.LOST_INVENTORY if reason == "lost" else ClaimKind.DAMAGED_INVENTORY
        seller.owe(kind, sku, quantity, seller.worth(sku, on) * quantity, [record])
    return on, quantity, record


def _reimburse(seller: Seller, kind: ClaimKind, sku: str, quantity: int, since: date) -> None:
    on = since + timedelta(days=seller.random.randrange(3, 28))
    amount = seller.worth(sku, since) * quantity
    seller.add("reimbursements", "R", kind=kind.value, sku=sku, quantity=quantity, amount=amount, on=on)


def _returns(seller: Seller, skus: Sequence[str]) -> None:
    missing = dict.fromkeys(skus[2:12], 1)
    settled = dict.fromkeys(skus[12:17], 1)
    for order in seller.records["orders"]:
        refunded_on = order["on"] + timedelta(days=seller.random.randrange(4, 20))
        if refunded_on > LAST or seller.random.random() > 0.25:
            continue
        sku, long_ago = order["sku"], refunded_on < date(2025, 10, 1)
        gone = long_ago and (missing.pop(sku, 0) or (settled.get(sku, 0) and 2))
        refunded = order["unit_price"] * order["quantity"]
        # Some come late, and the newest are still on their way.
        arrives = refunded_on + timedelta(days=seller.random.choice((5, 9, 14, 30, 60)))
        received_on = None if gone or arrives > LAST else arrives
        if received_on is None and not gone and LAST - refunded_on > timedelta(days=45):
            received_on = LAST
        record = seller.add(
            "returns", "B", order_id=order["order_id"], sku=sku, quantity=order["quantity"], refunded=refunded,
            refunded_on=refunded_on, received_on=received_on,
        )  # fmt: skip
        if gone == 1:
            seller.owe(ClaimKind.MISSING_RETURN, sku, order["quantity"], _net(refunded), [record])
        elif gone == 2:
            settled.pop(sku)
            _reimburse(seller, ClaimKind.MISSING_RETURN, sku, order["quantity"], refunded_on)


def _invoices(seller: Seller, skus: Sequence[str]) -> None:
    for number, sku in enumerate(skus):
        if number == 5:
            continue  # Its papers are lost.
        for on in _bought(seller, number):
            seller.add(
                "invoices", "I", supplier=f"{_GOODS[number % 5].title()} Works Ltd", sku=_written(sku, number),
                title=f"{sku} carton", quantity=3 if number % 11 == 4 else seller.random.randrange(60, 200),
                unit_cost=Decimal(seller.random.randrange(200, 900)) / 100, on=on,
                sha256=hashlib.sha256(f"{sku} {on}".encode()).hexdigest(),
            )  # fmt: skip


def _bought(seller: Seller, number: int) -> Iterator[date]:
    yield date(2024, 9, 20) if number % 7 == 6 else seller.day(date(2024, 12, 1), FIRST)
    if number % 7 != 6:
        yield seller.day(date(2025, 5, 1), date(2025, 6, 15))


def _written(sku: str, number: int) -> str:
    """The SKU as a supplier writes it: in other case, without its dash, with a typing error, with a suffix."""
    match number % 6:
        case 2:
            return sku.lower().replace("-", " ")
        case 3:
            return sku.replace("-", "")
        case 4:
            return sku.replace("1", "l", 1)
        case 5:
            return f"{sku}/EU"
        case _:
            return sku


def write(folder: Path = FOLDER) -> list[Path]:
    """Write all files; their paths."""
    seller = generate()
    written = []
    for name, rows in {**seller.records, OWED: seller.owed}.items():
        path = folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write():
        print(path.name)
