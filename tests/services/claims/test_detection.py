"""Detection: what is found, what is not, and how much it is worth."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.marketplace import (
    MAX_RECORDS,
    Adjustment,
    ClaimKind,
    CustomerReturn,
    FeeCharge,
    Order,
    Product,
    Reimbursement,
    fulfilment_fee,
)
from services.claims.findings import Finding, Records, detect

DAY = date(2025, 3, 1)
LATER = DAY + timedelta(days=120)
SKU = "TEA-100"
PRODUCT = Product(sku=SKU, title="Tea", weight_g=400, longest_side_mm=200)
SOLD = Order(order_id="O-1", sku=SKU, quantity=1, unit_price=Decimal("20.00"), on=DAY - timedelta(days=3))
NEWEST = Order(order_id="O-2", sku=SKU, quantity=1, unit_price=Decimal("30.00"), on=LATER)


def adjusted(number: int, reason: Any, quantity: int, on: date = DAY) -> Adjustment:
    return Adjustment(adjustment_id=f"A-{number}", sku=SKU, reason=reason, quantity=quantity, on=on)


def reimbursed(kind: ClaimKind, quantity: int, on: date) -> Reimbursement:
    return Reimbursement(
        reimbursement_id="R-1", kind=kind, sku=SKU, quantity=quantity, amount=Decimal(1), on=on
    )


def found(*adjustments: Adjustment, **more: Any) -> list[Finding]:
    return detect(Records(products=[PRODUCT], orders=[SOLD, NEWEST], adjustments=adjustments, **more))


def test_what_was_lost_is_worth_its_last_price_without_the_marketplaces_share() -> None:
    (one,) = found(adjusted(1, "lost", 3))
    assert (one.kind, one.quantity, one.records) == (ClaimKind.LOST_INVENTORY, 3, ("A-1",))
    assert one.amount == Decimal("51.00")


def test_what_was_found_again_or_reimbursed_is_taken_off() -> None:
    after = DAY + timedelta(days=9)
    assert found(adjusted(1, "lost", 3), adjusted(2, "found", 3, after)) == []
    (one,) = found(adjusted(1, "lost", 3), adjusted(2, "found", 1, after))
    assert one.quantity == 2
    settled = [reimbursed(ClaimKind.LOST_INVENTORY, 2, after)]
    assert [one.quantity for one in found(adjusted(1, "lost", 3), reimbursements=settled)] == [1]


def test_what_was_found_before_the_loss_settles_nothing() -> None:
    (one,) = found(adjusted(1, "found", 3, DAY - timedelta(days=1)), adjusted(2, "lost", 3))
    assert one.quantity == 3


def test_the_marketplace_has_thirty_days_to_find_it() -> None:
    assert found(adjusted(1, "lost", 1, LATER - timedelta(days=30))) == []
    assert len(found(adjusted(1, "lost", 1, LATER - timedelta(days=31)))) == 1


def test_damaged_goods_are_settled_by_money_only() -> None:
    after = DAY + timedelta(days=9)
    assert len(found(adjusted(1, "damaged", 1), adjusted(2, "found", 1, after))) == 1
    settled = [reimbursed(ClaimKind.DAMAGED_INVENTORY, 1, after)]
    assert found(adjusted(1, "damaged", 1), reimbursements=settled) == []
    assert found(adjusted(1, "disposed", 1)) == []


def test_a_months_overcharges_are_one_finding() -> None:
    owed = fulfilment_fee(PRODUCT)
    charges = [
        FeeCharge(fee_id=f"F-{n}", order_id=f"O-{n}", sku=SKU, quantity=2, charged=owed * 2 + extra, on=on)
        for n, (extra, on) in enumerate(
            [
                (Decimal("1.28"), DAY),
                (Decimal("0.00"), DAY),
                (Decimal("2.00"), DAY + timedelta(days=20)),
                (Decimal("-1.00"), DAY),
                (Decimal("0.50"), DAY + timedelta(days=40)),
            ]
        )
    ]
    first, second = found(fees=charges)
    assert (first.amount, first.quantity, first.records) == (Decimal("3.28"), 4, ("F-0", "F-2"))
    assert (second.amount, second.records) == (Decimal("0.50"), ("F-4",))


def test_what_is_claimed_is_not_found_again_and_takes_its_part_of_what_is_settled() -> None:
    lost = [adjusted(1, "lost", 2), adjusted(2, "lost", 2, DAY + timedelta(days=1))]
    back = adjusted(3, "found", 3, DAY + timedelta(days=2))
    records = Records(products=[PRODUCT], orders=[SOLD, NEWEST], adjustments=[*lost, back])
    assert [(one.records, one.quantity) for one in detect(records)] == [(("A-2",), 1)]
    assert [(one.records, one.quantity) for one in detect(records, {"A-1"})] == [(("A-2",), 1)]
    assert detect(records, {"A-2"}) == []


def test_overcharges_of_a_month_that_is_claimed_in_part_are_a_finding_of_their_own() -> None:
    owed = fulfilment_fee(PRODUCT)
    charges = [
        FeeCharge(fee_id=f"F-{n}", order_id=f"O-{n}", sku=SKU, quantity=1, charged=owed + 1, on=DAY)
        for n in range(3)
    ]
    (later,) = detect(Records(products=[PRODUCT], fees=charges), {"F-0", "F-1"})
    assert (later.records, later.amount) == (("F-2",), Decimal("1.00"))


def test_a_claim_is_about_so_many_records_as_the_marketplace_takes() -> None:
    owed = fulfilment_fee(PRODUCT)
    charges = [
        FeeCharge(fee_id=f"F-{n}", order_id=f"O-{n}", sku=SKU, quantity=1, charged=owed + 1, on=DAY)
        for n in range(MAX_RECORDS + 1)
    ]
    found = detect(Records(products=[PRODUCT], fees=charges))
    assert sorted(len(one.records) for one in found) == [1, MAX_RECORDS]


@pytest.mark.parametrize(
    ("received_on", "refunded_on", "findings"),
    [(None, DAY, 1), (LATER, DAY, 0), (None, LATER - timedelta(days=45), 0)],
)
def test_a_refund_without_goods_is_found_when_they_are_overdue(
    received_on: date | None, refunded_on: date, findings: int
) -> None:
    one = CustomerReturn(
        return_id="B-1", order_id="O-1", sku=SKU, quantity=2, refunded=Decimal("40.00"),
        refunded_on=refunded_on, received_on=received_on,
    )  # fmt: skip
    claims = found(returns=[one])
    assert [claim.amount for claim in claims] == [Decimal("34.00")] * findings


def test_what_has_no_price_is_no_claim() -> None:
    changes = (adjusted(1, "lost", 1), adjusted(2, "disposed", 1, LATER))
    assert detect(Records(adjustments=changes)) == []


CHANGES = st.lists(
    st.tuples(st.sampled_from(["lost", "found", "damaged"]), st.integers(1, 9), st.integers(0, 80)),
    max_size=20,
)


@given(changes=CHANGES, order=st.randoms(use_true_random=False))
def test_findings_are_never_more_than_was_lost_and_do_not_depend_on_the_order(
    changes: list[tuple[str, int, int]], order: Any
) -> None:
    records = [
        adjusted(number, reason, quantity, DAY + timedelta(days=day))
        for number, (reason, quantity, day) in enumerate(changes)
    ]
    claims = found(*records)
    shuffled = list(records)
    order.shuffle(shuffled)
    assert found(*shuffled) == claims
    lost = sum(one.quantity for one in records if one.reason == "lost")
    back = sum(one.quantity for one in records if one.reason == "found")
    claimed = sum(one.quantity for one in claims if one.kind is ClaimKind.LOST_INVENTORY)
    assert max(0, lost - back) <= claimed <= lost
    assert len({one.claim_id("S-1") for one in claims}) == len(claims)
