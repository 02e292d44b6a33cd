"""What may be paid, at what risk, at which price."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import Money, minor_digits
from contracts.payments import PaymentRequest
from services.payments.market import market
from services.payments.rules import (
    KYC_LIMIT_USD,
    VELOCITY_COUNT,
    assess,
    best_sanction_match,
    in_usd,
    indicative,
    normalized_phone,
    quote,
    validation_problem,
)
from tests.services.orders import RECIPIENT, SENDER, a_request, to_screen, to_validate

currencies = st.sampled_from(sorted(market().rates))


@st.composite
def money(draw: st.DrawFn) -> Money:
    currency = draw(currencies)
    minor = draw(st.integers(min_value=100, max_value=10**12))
    return Money.of(Decimal(minor).scaleb(-minor_digits(currency)), currency)


def test_an_ordinary_payment_is_valid() -> None:
    assert validation_problem(market(), to_validate(a_request())) is None


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("validation.unknown_currency", {"amount": {"amount": "10", "currency": "XQQ"}}),
        ("validation.unsupported_corridor", {"amount": {"amount": "10", "currency": "USD"}}),
        ("validation.unsupported_corridor", {"recipient": RECIPIENT | {"country": "BR"}}),
        ("validation.unsupported_payout", {"destination_currency": "UGX"}),
        ("validation.unsupported_payout", {"recipient": RECIPIENT | {"operator": "orange_money"}}),
        ("validation.amount_precision", {"amount": {"amount": "10.001", "currency": "GBP"}}),
        ("validation.amount_limit", {"amount": {"amount": "0.10", "currency": "GBP"}}),
        ("validation.amount_limit", {"amount": {"amount": "-10", "currency": "GBP"}}),
        ("validation.amount_limit", {"amount": {"amount": "60000", "currency": "GBP"}}),
        ("validation.phone", {"recipient": RECIPIENT | {"phone": "+2547121"}}),
        ("validation.phone", {"recipient": RECIPIENT | {"phone": "+447400123456"}}),
        ("validation.phone", {"sender": SENDER | {"phone": "no number"}}),
    ],
)
def test_a_refusal_says_why(code: str, changes: dict[str, Any]) -> None:
    problem = validation_problem(market(), to_validate(a_request(**changes)))
    assert problem is not None
    assert problem.code == code


def test_one_cannot_pay_oneself_however_the_number_is_written() -> None:
    kenyan = SENDER | {"country": "KE", "phone": "0712 123 456"}
    request = a_request(sender=kenyan, amount={"amount": "900", "currency": "KES"})
    problem = validation_problem(market(), to_validate(request))
    assert problem is not None
    assert problem.code == "validation.same_party"


def test_a_presets_own_limit_is_below_the_general_one() -> None:
    problem = validation_problem(market(), to_validate(a_request(), max_amount_usd="300"))
    assert problem is not None
    assert problem.code == "validation.amount_limit"


@pytest.mark.parametrize("amount", ["1E+40", "0.0000000001"])
def test_an_amount_that_is_no_sensible_number_is_no_request(amount: str) -> None:
    with pytest.raises(ValueError, match="at most 16 digits"):
        PaymentRequest.model_validate(
            a_request().model_dump() | {"amount": {"amount": amount, "currency": "GBP"}}
        )


@given(st.text(max_size=24), st.sampled_from(sorted(market().destinations)))
def test_a_normalized_number_stays_as_it_is(phone: str, country: str) -> None:
    normalized = normalized_phone(phone, country)
    assert normalized is None or normalized_phone(normalized, country) == normalized


@pytest.mark.parametrize("written", ["0712 123 456", "+254 712 123456", "254712123456", "(0712) 123-456"])
def test_a_number_may_be_written_in_many_ways(written: str) -> None:
    assert normalized_phone(written, "KE") == "+254712123456"


@given(money(), currencies, st.integers(min_value=0, max_value=500))
def test_no_quote_creates_money(amount: Money, currency: str, route_cost_bps: int) -> None:
    price = quote(market(), amount, currency, route_cost_bps)
    assert price.fee.amount >= 0
    assert price.payout <= indicative(market(), amount, currency)
    assert price.payout.amount <= (amount.amount - price.fee.amount) * price.rate
    assert price.payout == price.payout.quantized()


@given(money(), currencies)
def test_a_dearer_way_is_never_cheaper_for_the_payer(amount: Money, currency: str) -> None:
    cheap, dear = (quote(market(), amount, currency, bps) for bps in (10, 90))
    assert dear.fee >= cheap.fee
    assert dear.payout <= cheap.payout


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Viktor Abramovitz Orlenko", True),
        ("ORLENKO, Viktor Abramovits", True),
        ("viktor  abramowitz orlenko", True),
        ("Victor Abraham", False),
        ("Amina Mwangi", False),
    ],
)
def test_names_on_the_sanctions_list_are_found_however_written(name: str, found: bool) -> None:
    match, _ = best_sanction_match(market().sanctioned, (name,))
    assert (match >= 90) is found


@given(st.permutations(["Viktor", "Abramovitz", "Orlenko"]))
def test_the_order_of_a_name_does_not_matter(words: list[str]) -> None:
    assert best_sanction_match(market().sanctioned, (" ".join(words),))[0] == 100


@pytest.mark.parametrize(
    ("code", "screened", "recent"),
    [
        ("compliance.sanctions", {"recipient": RECIPIENT | {"name": "Bakary Tsongo, Colonel"}}, 0),
        ("compliance.kyc_limit", {"sender": SENDER | {"kyc_tier": 0}, "amount_usd": "200.01"}, 0),
        ("compliance.velocity", {}, VELOCITY_COUNT["standard"]),
        ("compliance.velocity", {"screening": "enhanced"}, VELOCITY_COUNT["enhanced"]),
        (
            "compliance.risk",
            {
                "sender": SENDER | {"kyc_tier": 1},
                "amount_usd": "990",
                "corridor": "GB-NG",
                "screening": "enhanced",
            },
            5,
        ),
    ],
)
def test_screening_refuses_and_says_why(code: str, screened: dict[str, Any], recent: int) -> None:
    problem = assess(market(), to_screen(a_request(), **screened), recent).problem
    assert problem is not None
    assert problem.code == code


def test_what_passes_reduced_screening_may_not_pass_the_enhanced_one() -> None:
    risky = {"sender": SENDER | {"kyc_tier": 1}, "amount_usd": "990", "corridor": "GB-NG"}
    reduced, enhanced = (
        assess(market(), to_screen(a_request(), **risky, screening=screening), 5)
        for screening in ("reduced", "enhanced")
    )
    assert reduced.problem is None
    assert enhanced.problem is not None
    assert reduced.risk_score == enhanced.risk_score


@given(
    tier=st.integers(0, 3),
    amount=st.decimals(min_value=1, max_value=50_000, places=2),
    recent=st.integers(0, 40),
)
def test_the_risk_is_a_percentage_and_never_falls_with_the_amount(
    tier: int, amount: Decimal, recent: int
) -> None:
    sender = SENDER | {"kyc_tier": tier}
    low, high = (
        assess(market(), to_screen(a_request(), sender=sender, amount_usd=usd), recent).risk_score
        for usd in (amount / 2, amount)
    )
    assert 0 <= low <= high <= 100


def test_above_the_limit_of_its_tier_nothing_passes() -> None:
    for tier, limit in KYC_LIMIT_USD.items():
        command = to_screen(a_request(), sender=SENDER | {"kyc_tier": tier}, amount_usd=limit + 1)
        assert assess(market(), command, 0).problem is not None


def test_amounts_are_valued_at_the_mid_market_rate() -> None:
    assert in_usd(market(), Money.of("788", "GBP")) == Decimal("1000.00")
