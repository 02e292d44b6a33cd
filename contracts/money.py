"""Money: a decimal amount with its currency. Binary floating point never enters.

The number of minor digits is ISO 4217's.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from contracts.failure import MixedCurrencies

CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

_NO_MINOR_UNIT = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)
_THREE_MINOR_DIGITS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def minor_digits(currency: str) -> int:
    """How many decimal places the currency has (ISO 4217)."""
    if currency in _NO_MINOR_UNIT:
        return 0
    return 3 if currency in _THREE_MINOR_DIGITS else 2


def _refuse_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError(f'an amount must be a decimal string such as "12.50", not the float {value!r}')
    return value


Amount = Annotated[Decimal, BeforeValidator(_refuse_float)]


class Money(BaseModel):
    """An amount in one currency; immutable. JSON form: `{"amount": "12.50", "currency": "KES"}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Amount
    currency: CurrencyCode

    @classmethod
    def of(cls, amount: Decimal | str | int, currency: str) -> Self:
        return cls(amount=Decimal(amount), currency=currency)

    def quantized(self) -> Self:
        """Rounded to the currency's minor unit, half to even."""
        unit = Decimal(1).scaleb(-minor_digits(self.currency))
        return type(self)(amount=self.amount.quantize(unit, ROUND_HALF_EVEN), currency=self.currency)

    def _amount_of(self, other: "Money") -> Decimal:
        if other.currency != self.currency:
            raise MixedCurrencies(
                f"{self.currency} and {other.currency} do not mix: convert one of them first"
            )
        return other.amount

    def __add__(self, other: "Money") -> Self:
        return type(self)(amount=self.amount + self._amount_of(other), currency=self.currency)

    def __sub__(self, other: "Money") -> Self:
        return type(self)(amount=self.amount - self._amount_of(other), currency=self.currency)

    def __neg__(self) -> Self:
        return type(self)(amount=-self.amount, currency=self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._amount_of(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount <= self._amount_of(other)

    def __gt__(self, other: "Money") -> bool:
        return self.amount > self._amount_of(other)

    def __ge__(self, other: "Money") -> bool:
        return self.amount >= self._amount_of(other)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
