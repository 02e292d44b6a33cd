"""A wholesaler's claim: the identifiers it rests on, each in one form, with their check digits.

A `Claim` is whole; a `ClaimDraft` is what could be read of one.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from contracts.money import Amount, CurrencyCode


def dea_check_digit(digits: str) -> int:
    """The last digit that belongs to the first six of a DEA number."""
    first, second = (sum(int(digit) for digit in digits[start:6:2]) for start in (0, 1))
    return (first + 2 * second) % 10


def _checked_dea(number: str) -> str:
    if dea_check_digit(number[2:]) != int(number[8]):
        raise ValueError(f"{number} is no DEA number: its last digit does not fit the others")
    return number


def normal_ndc(written: str) -> str:
    """A national drug code as eleven digits: five of the labeler, four of the product, two of the package.

    Raises ValueError. Ten digits without dashes are ambiguous, so they are refused.
    """
    parts = [part for part in written.strip().split("-") if part]
    lengths = tuple(map(len, parts))
    if all(part.isdecimal() and part.isascii() for part in parts):
        if lengths == (11,):
            return parts[0]
        if lengths in {(4, 4, 2), (5, 3, 2), (5, 4, 1), (5, 4, 2)}:
            return parts[0].zfill(5) + parts[1].zfill(4) + parts[2].zfill(2)
    raise ValueError(f"{written!r} is no NDC: expected 4-4-2, 5-3-2, 5-4-1 or 5-4-2 digits, or eleven")


def _ndc(written: object) -> object:
    return normal_ndc(written) if isinstance(written, str) else written


def _price(amount: Decimal) -> Decimal:
    return _within(amount, 4)


def _sum(amount: Decimal) -> Decimal:
    return _within(amount, 2)


def _within(amount: Decimal, places: int) -> Decimal:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -places or amount.adjusted() > 11:
        raise ValueError(f"expected at most 12 digits before the point and {places} after it")
    return amount


Dea = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z9][0-9]{7}$"), AfterValidator(_checked_dea)]
Hin = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{9}$")]
CoveredEntity = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,4}[0-9]{4,6}[A-Z]?$")]
Ndc = Annotated[str, StringConstraints(pattern=r"^[0-9]{11}$"), BeforeValidator(_ndc)]
Number = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9/-]{2,31}$")]
PartyName = Annotated[str, StringConstraints(min_length=2, max_length=140)]
Words = Annotated[str, StringConstraints(max_length=200)]
Price = Annotated[Amount, Field(ge=0), AfterValidator(_price)]
Sum = Annotated[Amount, Field(ge=0), AfterValidator(_sum)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClaimLine(_Contract):
    """One product: `wac` is the list price of a unit, `amount` what is claimed for all units."""

    ndc: Ndc
    quantity: int = Field(gt=0, le=1_000_000)
    wac: Price
    contract_price: Price
    amount: Sum

    @property
    def difference(self) -> Decimal:
        """What the line's own figures make of it."""
        return (self.wac - self.contract_price) * self.quantity


class Claim(_Contract):
    """A whole claim. The customer is known by its name, and by whatever numbers the document gives."""

    claim_number: Number
    wholesaler: PartyName
    wholesaler_dea: Dea
    customer: PartyName
    customer_address: str = Field(default="", max_length=200)
    customer_dea: Dea | None = None
    customer_hin: Hin | None = None
    covered_entity: CoveredEntity | None = Field(default=None, description="340B id")
    contract: Number
    invoice: Number
    sold_on: date
    currency: CurrencyCode = "USD"
    lines: tuple[ClaimLine, ...] = Field(min_length=1, max_length=200)
    total: Sum


class LineDraft(_Contract):
    """A line as far as it could be read."""

    ndc: Words | None = None
    quantity: int | None = Field(default=None, ge=0, le=10**12)
    wac: Amount | None = None
    contract_price: Amount | None = None
    amount: Amount | None = None


class ClaimDraft(_Contract):
    """A claim as far as it could be read, in the document's own words where they make no sense."""

    claim_number: Words | None = None
    wholesaler: Words | None = None
    wholesaler_dea: Words | None = None
    customer: Words | None = None
    customer_address: Words = ""
    customer_dea: Words | None = None
    customer_hin: Words | None = None
    covered_entity: Words | None = None
    contract: Words | None = None
    invoice: Words | None = None
    sold_on: date | None = None
    currency: Words | None = None
    lines: tuple[LineDraft, ...] = Field(default=(), max_length=200)
    total: Amount | None = None
