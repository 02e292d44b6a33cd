"""The books notice every cent that is missing, doubled, or nobody's."""

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from contracts.claims import ClaimStatus
from services.claims.books import Ledger, compare
from services.claims.tables import Claim, Packet, PayoutEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claim(**fields: Any) -> Claim:
    told: dict[str, Any] = {
        "claim_id": "C-1", "account_id": "S-1", "run": "1", "kind": "lost_inventory", "sku": "TEA-100",
        "quantity": 1, "amount": Decimal("17.00"), "currency": "USD", "on": date(2025, 1, 1), "records": ["A-1"],
        "status": ClaimStatus.RECOVERED.value, "updated_at": NOW,
    }  # fmt: skip
    return Claim(**told | fields)


def payout(**fields: Any) -> PayoutEntry:
    told: dict[str, Any] = {
        "payout_id": "P-1", "claim_id": "C-1", "account_id": "S-1", "case_id": "K-1", "claimed": Decimal("17.00"),
        "paid": Decimal("17.00"), "difference": Decimal("0.00"), "verdict": "exact", "fee": Decimal("3.40"),
        "seller_share": Decimal("13.60"), "currency": "USD", "at": NOW,
    }  # fmt: skip
    return PayoutEntry(**told | fields)


def packet(pdf: bytes = b"%PDF", sha256: str = "") -> Packet:
    digest = sha256 or hashlib.sha256(pdf).hexdigest()
    return Packet(claim_id="C-1", account_id="S-1", sha256=digest, pages=1, pdf=pdf, at=NOW)


def line(**fields: Any) -> dict[str, Any]:
    amount = {"amount": "17.00", "currency": "USD"}
    return {"payout_id": "P-1", "claim_id": "C-1", "case_id": "K-1", "amount": amount} | fields


def differences(**fields: Any) -> str:
    told: dict[str, Any] = {
        "claims": [claim()], "payouts": [payout()], "packets": [packet()], "statement": [line()],
    }  # fmt: skip
    told |= fields
    return "; ".join(compare(Ledger(**told)).differences)


def test_what_adds_up_is_reconciled() -> None:
    assert differences() == ""
    assert compare(Ledger()).reconciled


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"statement": []}, "booked, not on the statement"),
        ({"payouts": [], "claims": [claim(status="rejected")]}, "on the statement, not booked"),
        ({"statement": [line(), line()]}, "2 times on the statement"),
        ({"statement": [line(amount={"amount": "17.01", "currency": "USD"})]}, "on the statement as"),
        ({"statement": [line(amount={"amount": "17.00", "currency": "EUR"})]}, "on the statement as"),
        ({"statement": [line(case_id="K-2")]}, "on the statement as"),
        ({"payouts": [payout(fee=Decimal("3.41"))]}, "are not 17.00"),
        ({"payouts": [payout(fee=None)]}, "not divided"),
        ({"payouts": [payout(difference=Decimal("0.01"))]}, "are not 17.00"),
        ({"claims": []}, "paid, but unknown"),
        ({"claims": [claim(status="submitted")]}, "submitted, with 1 payouts"),
        ({"claims": [claim(amount=Decimal("18.00"))]}, "not by its first payout"),
        ({"packets": []}, "without a packet"),
        ({"packets": [packet(sha256="0" * 64)]}, "not the one that was written"),
    ],
)
def test_what_does_not_add_up_is_named(fields: dict[str, Any], said: str) -> None:
    assert said in differences(**fields)


def test_short_and_over_are_told_apart() -> None:
    short = payout(paid=Decimal("15.00"), difference=Decimal("-2.00"), verdict="short")
    over = payout(payout_id="P-2", paid=Decimal("18.00"), difference=Decimal("1.00"), verdict="over")
    books = compare(Ledger(payouts=[short, over]))
    assert [int(one) for one in (books.claimed, books.short, books.over, books.paid)] == [34, 2, 1, 33]
