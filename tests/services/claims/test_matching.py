"""Evidence: what counts as proof, how well, and that no unit proves two claims."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.marketplace import ClaimKind, Invoice
from services.claims.matching import Wanted, assign, confidence, score
from services.claims.policy import Policy

DAY = date(2025, 6, 1)
POLICY = Policy()
POLICIES = dict.fromkeys(ClaimKind, POLICY)


def wanted(
    sku: str = "TEA-100", quantity: int = 4, number: int = 1, kind: ClaimKind = ClaimKind.LOST_INVENTORY
) -> Wanted:
    return Wanted(claim_id=f"C-{number:016X}", kind=kind, sku=sku, quantity=quantity, on=DAY)


def invoice(sku: str = "TEA-100", quantity: int = 100, number: int = 1, age_days: int = 30) -> Invoice:
    return Invoice(
        invoice_id=f"I-{number}", supplier="Leaf Ltd", sku=sku, title="Tea", quantity=quantity,
        unit_cost=Decimal("4.00"), on=DAY - timedelta(days=age_days), sha256="0" * 64,
    )  # fmt: skip


def points(sku: str = "TEA-100", quantity: int = 100, age_days: int = 30) -> int:
    match = score(wanted(), invoice(sku, quantity, age_days=age_days), quantity, POLICY)
    return match.score if match else 0


def test_the_same_sku_recent_and_enough_is_certain() -> None:
    assert points() == 100
    assert points("tea 100") == 100


def test_what_is_less_alike_older_or_too_little_counts_less() -> None:
    assert 0 < points("TEA-1000") < points()
    assert 0 < points(quantity=2) < points()
    assert 0 < points(age_days=300) < points()


def test_another_product_a_later_or_a_very_old_invoice_does_not_count() -> None:
    assert points("COFFEE-7") == 0
    assert points(age_days=-1) == 0
    assert points(age_days=366) == 0


def test_the_score_says_why() -> None:
    match = score(wanted(), invoice("TEA-10", 2), 2, POLICY)
    assert match is not None
    assert [part.what for part in match.parts] == ["sku", "quantity", "date"]
    assert match.parts[1].why == "2 of 4 units are covered"


def test_a_fee_needs_no_units_and_uses_none_up() -> None:
    claims = [wanted(quantity=500, number=n, kind=ClaimKind.FEE_OVERCHARGE) for n in range(3)]
    found = assign(claims, [invoice(quantity=1)], POLICIES)
    assert [confidence(claim, found[claim.claim_id]) for claim in claims] == [100, 100, 100]


def test_units_that_prove_another_claim_already_are_not_there() -> None:
    found = assign([wanted()], [invoice(quantity=5)], POLICIES, {"I-1": 3})
    assert [match.quantity for match in found[wanted().claim_id]] == [2]


def test_several_documents_fill_what_is_missing() -> None:
    policies = dict.fromkeys(ClaimKind, Policy(documents=2))
    papers = [invoice(quantity=3, number=1), invoice(quantity=4, number=2, age_days=40)]
    (matches,) = assign([wanted(quantity=6)], papers, policies).values()
    assert sum(match.quantity for match in matches) == 6
    assert confidence(wanted(quantity=6), matches) == 100
    assert confidence(wanted(quantity=6), matches[:1]) < 100


SKUS = st.sampled_from(["TEA-100", "TEA 100", "TEA-1OO", "TEA-200", "CUP-1"])
CLAIMS = st.lists(st.tuples(SKUS, st.integers(1, 9)), min_size=1, max_size=8)
PAPERS = st.lists(st.tuples(SKUS, st.integers(1, 12), st.integers(0, 400)), max_size=8)


@given(claims=CLAIMS, papers=PAPERS, documents=st.integers(1, 3), order=st.randoms(use_true_random=False))
def test_no_unit_proves_two_claims_and_the_order_does_not_matter(
    claims: list[tuple[str, int]], papers: list[tuple[str, int, int]], documents: int, order: Any
) -> None:
    want = [wanted(sku, quantity, number) for number, (sku, quantity) in enumerate(claims)]
    have = [invoice(sku, quantity, number, age) for number, (sku, quantity, age) in enumerate(papers)]
    policies = dict.fromkeys(ClaimKind, Policy(documents=documents))
    found = assign(want, have, policies)
    used = Counter[str]()
    for matches in found.values():
        for match in matches:
            used[match.invoice.invoice_id] += match.quantity
    assert all(used[one.invoice_id] <= one.quantity for one in have)
    assert all(len(matches) <= documents for matches in found.values())
    assert all(0 <= confidence(one, found[one.claim_id]) <= 100 for one in want)
    order.shuffle(want)
    order.shuffle(have)
    assert assign(want, have, policies) == found


@given(sku=SKUS, quantity=st.integers(1, 50), available=st.integers(0, 50), age=st.integers(-5, 400))
def test_the_parts_sum_to_the_score_and_none_is_beyond_its_points(
    sku: str, quantity: int, available: int, age: int
) -> None:
    match = score(wanted(quantity=quantity), invoice(sku, 50, age_days=age), available, POLICY)
    if match is not None:
        assert match.score == sum(part.points for part in match.parts) <= 100
        assert all(0 <= part.points <= part.of for part in match.parts)
        assert match.quantity <= min(available, quantity)
