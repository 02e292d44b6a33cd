"""What a marketplace says over HTTP: a seller's records, cases about claims, payouts. Dates are the marketplace's days.

Amounts are decimal strings in the seller's currency.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from contracts.money import Amount, CurrencyCode, Money

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,39}$")]
RecordId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,39}$")]
Price = Annotated[Amount, Field(ge=0, max_digits=14, decimal_places=2)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ClaimKind(StrEnum):
    """What a seller can claim."""

    LOST_INVENTORY = "lost_inventory"
    DAMAGED_INVENTORY = "damaged_inventory"
    FEE_OVERCHARGE = "fee_overcharge"
    MISSING_RETURN = "missing_return"


MAX_RECORDS = 500
"""So many records of the marketplace's a claim may be about."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Product(_Record):
    """An article of the seller's catalogue, as the marketplace measured it."""

    sku: Sku
    title: str = Field(max_length=200)
    weight_g: int = Field(gt=0)
    longest_side_mm: int = Field(gt=0)


class Order(_Record):
    order_id: RecordId
    sku: Sku
    quantity: int = Field(gt=0)
    unit_price: Price
    on: date


class Adjustment(_Record):
    """A change of what is in the warehouse. `damaged`: by the marketplace."""

    adjustment_id: RecordId
    sku: Sku
    reason: Literal["lost", "found", "damaged", "disposed"]
    quantity: int = Field(gt=0)
    on: date


class FeeCharge(_Record):
    """The fulfilment fee of an order."""

    fee_id: RecordId
    order_id: RecordId
    sku: Sku
    quantity: int = Field(gt=0)
    charged: Price
    on: date


class CustomerReturn(_Record):
    """A customer was given the money back. `received_on`: when the goods came back, if they did."""

    return_id: RecordId
    order_id: RecordId
    sku: Sku
    quantity: int = Field(gt=0)
    refunded: Price
    refunded_on: date
    received_on: date | None = None


class Reimbursement(_Record):
    """What the marketplace has paid of its own accord, for a kind of claim."""

    reimbursement_id: RecordId
    kind: ClaimKind
    sku: Sku
    quantity: int = Field(gt=0)
    amount: Price
    on: date


class Invoice(_Record):
    """A supplier's invoice from the seller's files. Suppliers write SKUs in their own way."""

    invoice_id: RecordId
    supplier: str = Field(max_length=120)
    sku: Sku
    title: str = Field(max_length=200)
    quantity: int = Field(gt=0)
    unit_cost: Price
    on: date
    sha256: Sha256


RECORDS: Mapping[str, type[_Record]] = {
    "products": Product,
    "orders": Order,
    "adjustments": Adjustment,
    "fees": FeeCharge,
    "returns": CustomerReturn,
    "reimbursements": Reimbursement,
    "invoices": Invoice,
}
"""Every kind of record, by its name in the marketplace's paths."""


class RecordPage(BaseModel):
    """A page of records; `next` is the cursor of the page after it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    items: tuple[dict[str, object], ...]
    next: int | None = None


class Document(BaseModel):
    """A document that goes with a claim. `score`: how well it proves it, in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    invoice_id: RecordId
    sha256: Sha256
    quantity: int = Field(gt=0, description="how much of it the claim uses")
    score: int = Field(ge=0, le=100)


class CaseRequest(BaseModel):
    """A claim as it is submitted. `appeals`: the case whose rejection it contests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim_id: str = Field(max_length=64)
    kind: ClaimKind
    sku: Sku
    quantity: int = Field(gt=0)
    amount: Money
    records: tuple[RecordId, ...] = Field(min_length=1, max_length=MAX_RECORDS)
    documents: tuple[Document, ...] = Field(max_length=20)
    earlier: RecordId | None = Field(default=None, description="the rejected case it follows")
    appeals: bool = False


MAX_REASON = 500

CaseStatus = Literal["received", "under_review", "rejected", "approved", "paid", "withdrawn"]


class Payout(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    payout_id: RecordId
    amount: Money
    paid_at: AwareDatetime


class Case(BaseModel):
    """What the marketplace says of a submitted claim."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    case_id: RecordId
    claim_id: str
    status: CaseStatus
    reason: Annotated[str, AfterValidator(lambda words: words[:MAX_REASON])] = Field(
        default="",
        description="of a rejection, in the marketplace's words; what is beyond 500 characters is cut",
    )
    payout: Payout | None = None

    @property
    def decided(self) -> bool:
        """Whether nothing more is to come."""
        return self.status in ("rejected", "paid", "withdrawn")


class SizeTier(BaseModel):
    """A line of the marketplace's price list: the fee per unit up to this size."""

    model_config = ConfigDict(frozen=True)

    name: str
    up_to_g: int
    up_to_mm: int
    fee: Amount


CURRENCY: CurrencyCode = "USD"
REFERRAL_RATE = Decimal("0.15")
"""The marketplace's share of a sale; a unit that is lost is worth its price without it."""
TIERS = (
    SizeTier(name="small", up_to_g=450, up_to_mm=380, fee=Decimal("3.22")),
    SizeTier(name="standard", up_to_g=9_000, up_to_mm=450, fee=Decimal("5.86")),
    SizeTier(name="large", up_to_g=22_000, up_to_mm=1_500, fee=Decimal("9.73")),
    SizeTier(name="oversize", up_to_g=68_000, up_to_mm=2_740, fee=Decimal("26.33")),
)


def fulfilment_fee(product: Product) -> Decimal:
    """The fee per unit by the price list; beyond the last tier the last one's."""
    fits = (
        tier
        for tier in TIERS
        if product.weight_g <= tier.up_to_g and product.longest_side_mm <= tier.up_to_mm
    )
    return next(fits, TIERS[-1]).fee
