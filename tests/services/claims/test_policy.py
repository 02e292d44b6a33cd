"""Thresholds: what is decided by them, and what a rejection teaches."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.claims import RejectionReason
from contracts.failure import MixedCurrencies
from contracts.money import Money
from services.claims.fees import shares, verdict
from services.claims.policy import Policy, classify, learned, next_of


@pytest.mark.parametrize(
    ("confidence", "decision"), [(100, "submit"), (90, "submit"), (89, "ask"), (60, "ask"), (59, "park")]
)
def test_a_claim_is_submitted_asked_about_or_parked(confidence: int, decision: str) -> None:
    assert Policy().decide(confidence) == decision


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("We are unable to verify the purchase. Please send more.", RejectionReason.MORE_EVIDENCE),
        ("Please provide ADDITIONAL documentation!", RejectionReason.MORE_EVIDENCE),
        ("These units have already been reimbursed.", RejectionReason.ALREADY_SETTLED),
        ("The request is outside of the claim window.", RejectionReason.OUT_OF_WINDOW),
        ("The quantity on the invoice is smaller.", RejectionReason.QUANTITY),
        ("The invoice does not match the product you name.", RejectionReason.OTHER_PRODUCT),
        ("This item is not eligible under our programme.", RejectionReason.POLICY),
        ("Computer says no", RejectionReason.UNKNOWN),
        ("", RejectionReason.UNKNOWN),
        ("not", RejectionReason.UNKNOWN),
    ],
)
def test_a_rejection_is_classified_by_its_words(words: str, reason: RejectionReason) -> None:
    assert classify(words) is reason


def test_a_lesson_changes_what_it_is_about() -> None:
    policy = Policy()
    stricter = learned(policy, RejectionReason.MORE_EVIDENCE)
    assert (stricter.version, stricter.submit_at, stricter.documents) == (2, 91, 2)
    assert learned(policy, RejectionReason.OTHER_PRODUCT).min_similarity == policy.min_similarity + 1
    assert learned(policy, RejectionReason.POLICY) is policy


def test_a_claim_goes_once_more_and_not_twice() -> None:
    assert next_of(RejectionReason.MORE_EVIDENCE, 1) == "resubmit"
    assert next_of(RejectionReason.OUT_OF_WINDOW, 1) == "appeal"
    assert next_of(RejectionReason.ALREADY_SETTLED, 1) == "stop"
    assert {next_of(reason, 2) for reason in RejectionReason} == {"stop"}


@given(lessons=st.lists(st.sampled_from(RejectionReason), max_size=60))
def test_thresholds_only_get_stricter_and_stay_within_bounds(lessons: list[RejectionReason]) -> None:
    policy = Policy()
    for reason in lessons:
        after = learned(policy, reason)
        assert after.version - policy.version == (after != policy)
        assert after.submit_at >= policy.submit_at
        assert after.min_similarity >= policy.min_similarity
        policy = after
    assert policy.ask_at < policy.submit_at <= 97
    assert policy.min_similarity <= 95
    assert 1 <= policy.documents <= 5


AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=2)


@given(
    paid=AMOUNTS,
    rate=st.decimals(min_value=0, max_value=1, places=4),
    currency=st.sampled_from(["USD", "JPY"]),
)
def test_fee_and_share_sum_to_what_was_paid(paid: Decimal, rate: Decimal, currency: str) -> None:
    whole = Money(amount=paid, currency=currency).quantized()
    split = shares(whole, rate)
    assert split.fee + split.seller == whole
    assert split.fee == split.fee.quantized()
    assert Money.of(0, currency) <= split.fee <= whole


def test_a_payout_is_exact_short_or_over_and_never_of_another_currency() -> None:
    claimed = Money.of("10.00", "USD")
    assert verdict(claimed, Money.of("10", "USD")) == "exact"
    assert verdict(claimed, Money.of("9.99", "USD")) == "short"
    assert verdict(claimed, Money.of("10.01", "USD")) == "over"
    with pytest.raises(MixedCurrencies):
        verdict(claimed, Money.of("10.00", "EUR"))
