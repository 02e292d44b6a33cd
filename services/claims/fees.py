"""What is the seller's and what is ours of a payout, to the cent. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from contracts.money import Money


@dataclass(frozen=True, slots=True)
class Shares:
    """`fee` and `seller` sum to what was paid."""

    fee: Money
    seller: Money


def shares(paid: Money, rate: Decimal) -> Shares:
    """The fee is a rate of what was paid, rounded half to even to its minor unit; the rest is the seller's."""
    fee = Money(amount=paid.amount * rate, currency=paid.currency).quantized()
    return Shares(fee, paid - fee)


def verdict(claimed: Money, paid: Money) -> Literal["exact", "short", "over"]:
    """How a payout compares with what was still claimed. Raises MixedCurrencies."""
    if paid < claimed:
        return "short"
    return "over" if paid > claimed else "exact"
