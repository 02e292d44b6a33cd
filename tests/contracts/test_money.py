"""Money is exact, of one currency, and never a float."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.failure import MixedCurrencies
from contracts.money import Money, minor_digits

AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=4)
CURRENCIES = st.sampled_from(["KES", "UGX", "USD", "EUR", "TND"])


@given(first=AMOUNTS, second=AMOUNTS, third=AMOUNTS, currency=CURRENCIES)
def test_sums_are_exact_in_any_order(first: Decimal, second: Decimal, third: Decimal, currency: str) -> None:
    a, b, c = (Money(amount=amount, currency=currency) for amount in (first, second, third))
    assert (a + b) + c == a + (b + c)
    assert a + b - b == a
    assert a + -a == Money.of(0, currency)
    assert (a < b) == (first < second)
    assert (a <= b) == (b >= a)
    assert (a > b) == (b < a)


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_json_gives_the_same_money_back(amount: Decimal, currency: str) -> None:
    money = Money(amount=amount, currency=currency)
    assert Money.model_validate_json(money.model_dump_json()) == money


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_rounding_is_to_the_minor_unit_once_and_by_less_than_one(amount: Decimal, currency: str) -> None:
    money = Money(amount=amount, currency=currency)
    rounded = money.quantized()
    assert rounded.quantized() == rounded
    assert abs(rounded.amount - amount) <= Decimal(5).scaleb(-minor_digits(currency) - 1)


@pytest.mark.parametrize(("amount", "currency", "text"), [
    ("0.125", "KES", "0.12 KES"), ("0.135", "KES", "0.14 KES"), ("2.5", "UGX", "2 UGX"), ("1", "TND", "1.000 TND"),
])  # fmt: skip
def test_halves_go_to_the_even_digit(amount: str, currency: str, text: str) -> None:
    assert str(Money.of(amount, currency).quantized()) == text


def test_two_currencies_do_not_mix() -> None:
    shillings, dollars = Money.of(1, "KES"), Money.of(1, "USD")
    for mix in (
        lambda: shillings + dollars,
        lambda: shillings - dollars,
        lambda: shillings < dollars,
        lambda: shillings <= dollars,
        lambda: shillings > dollars,
        lambda: shillings >= dollars,
    ):
        with pytest.raises(MixedCurrencies, match="KES and USD"):
            mix()
    assert shillings != dollars


@pytest.mark.parametrize("amount", [12.5, float("nan"), "abc", None])
def test_no_float_becomes_money(amount: object) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"amount": amount, "currency": "KES"})
    with pytest.raises(ValidationError):
        Money.model_validate_json('{"amount": 12.5, "currency": "KES"}')


@pytest.mark.parametrize("currency", ["kes", "KE", "KESH", ""])
def test_a_currency_has_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValidationError):
        Money.of(1, currency)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity"])
def test_an_amount_is_finite(amount: str) -> None:
    with pytest.raises(ValidationError):
        Money.of(amount, "KES")
