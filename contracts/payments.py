"""Cross-border payments to mobile money: what each of the nine steps is told and what it states."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from contracts.actions import ActionContract
from contracts.events import Event
from contracts.money import Amount, CurrencyCode, Money

CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Phone = Annotated[str, StringConstraints(min_length=4, max_length=24)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=140)]


class Operator(StrEnum):
    """Mobile-money operators."""

    MPESA = "mpesa"
    MTN_MOMO = "mtn_momo"
    AIRTEL_MONEY = "airtel_money"
    ORANGE_MONEY = "orange_money"


Priority = Literal["cost", "speed", "reliability"]
Screening = Literal["reduced", "standard", "enhanced"]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sender(_Contract):
    """Who pays. `kyc_tier` 0 (unverified) to 3 (fully verified)."""

    name: Name
    phone: Phone
    country: CountryCode
    account: str = Field(min_length=1, max_length=64)
    kyc_tier: int = Field(ge=0, le=3)


class Recipient(_Contract):
    """Who is paid, into the wallet of that phone number."""

    name: Name
    phone: Phone
    country: CountryCode
    operator: Operator


class PaymentRequest(_Contract):
    """The input of every payment saga. `amount` is what the sender pays, fee included.

    Whether a payment may be made is for its steps to say; only what is no sensible number is refused here.
    """

    reference: str = Field(min_length=1, max_length=64, description="the payer's own reference")
    amount: Money
    destination_currency: CurrencyCode
    sender: Sender
    recipient: Recipient
    purpose: str = Field(default="family support", max_length=140)
    priority: Priority = "cost"

    @field_validator("amount")
    @classmethod
    def _sensible(cls, amount: Money) -> Money:
        finest = amount.amount.as_tuple().exponent
        if amount.amount.adjusted() > 15 or not isinstance(finest, int) or finest < -8:
            raise ValueError("an amount has at most 16 digits before the point and 8 after it")
        return amount


class CreatePayment(_Contract):
    reference: str
    amount: Money
    sender_account: str
    recipient_phone: Phone


class PaymentCreated(_Contract):
    payment_id: str
    reference: str
    created_at: AwareDatetime


class ValidatePayment(_Contract):
    """`max_amount_usd` is the preset's own limit, below the general one."""

    amount: Money
    destination_currency: CurrencyCode
    sender: Sender
    recipient: Recipient
    max_amount_usd: Amount | None = None


class PaymentValidated(_Contract):
    corridor: str = Field(description="source and destination country, e.g. GB-KE")
    amount_usd: Amount
    recipient_phone: str = Field(description="in E.164 form")


class OptimizeRoute(_Contract):
    corridor: str
    amount_usd: Amount
    optimize_for: Priority


class RouteOptimized(_Contract):
    """`hops` are the nodes passed; reliability is the probability that all hops work."""

    hops: tuple[str, ...]
    providers: tuple[str, ...]
    cost_bps: int
    time_s: int
    reliability: float


class ValidateCompliance(_Contract):
    sender: Sender
    recipient: Recipient
    amount_usd: Amount
    corridor: str
    screening: Screening


class ComplianceValidated(_Contract):
    risk_score: int = Field(ge=0, le=100)
    screening: Screening
    best_match: int = Field(ge=0, le=100, description="similarity with the sanctions list, in percent")
    reasons: tuple[str, ...] = ()


class CheckLiquidity(_Contract):
    currency: CurrencyCode
    amount: Money = Field(description="what the sender pays")


class LiquidityReserved(_Contract):
    reservation_id: str
    reserved: Money


class LockExchangeRate(_Contract):
    """`route_cost_bps` is what the chosen way costs; the payer bears it as part of the fee."""

    amount: Money
    currency: CurrencyCode
    route_cost_bps: int = Field(default=0, ge=0)


class RateLocked(_Contract):
    """`payout` is `(amount - fee) * rate` in the destination currency, rounded to its minor unit."""

    lock_id: str
    rate: Amount
    fee: Money
    payout: Money
    expires_at: AwareDatetime


class ExecuteMmo(_Contract):
    operator: Operator
    phone: str
    payout: Money
    rate_expires_at: AwareDatetime


class MmoExecuted(_Contract):
    operator: Operator
    operator_reference: str
    paid: Money


class SettlePayment(_Contract):
    reference: str
    amount: Money
    fee: Money
    payout: Money
    operator: Operator
    operator_reference: str


class PaymentSettled(_Contract):
    """`entry_hash` chains the ledger entry to the one before it."""

    entry: int
    entry_hash: str


class ConfirmPayment(_Contract):
    """What the receipt says; it is sent to `phone`."""

    reference: str
    recipient_name: Name
    phone: str
    operator: Operator
    paid: Money
    operator_reference: str
    entry_hash: str


class PaymentConfirmed(_Contract):
    receipt_number: str
    receipt_hash: str
    confirmed_at: AwareDatetime


class SettlementBooked(Event, name="payments.payment_settled"):
    """The payment is in the settlement ledger. The key is the saga's id."""

    reference: str
    amount: Money
    fee: Money
    payout: Money
    operator: Operator
    entry: int
    entry_hash: str


class SettlementReversed(Event, name="payments.settlement_reversed"):
    """The payment's entry in the settlement ledger has been reversed by another one."""

    reference: str
    entry: int
    entry_hash: str


class ReceiptIssued(Event, name="payments.payment_confirmed"):
    """The recipient has been told, and the receipt is kept."""

    reference: str
    receipt_number: str
    receipt_hash: str
    paid: Money
    confirmed_at: AwareDatetime


def _action(
    verb: str,
    given: type[BaseModel],
    stated: type[BaseModel],
    description: str,
    *,
    compensable: bool = False,
    emits: tuple[type[Event], ...] = (),
    reads_only: bool = False,
) -> ActionContract:
    return ActionContract(
        name=f"payments.{verb}",
        input=given,
        output=stated,
        compensable=compensable,
        emits=emits,
        description=description,
        reads_only=reads_only,
    )


ACTIONS: tuple[ActionContract, ...] = (
    _action(
        "create_payment",
        CreatePayment,
        PaymentCreated,
        "Note the payment as an order; undo: cancel it.",
        compensable=True,
    ),
    _action(
        "validate_payment",
        ValidatePayment,
        PaymentValidated,
        "Check currencies, corridor, limits and phone numbers.",
        reads_only=True,
    ),
    _action(
        "optimize_route",
        OptimizeRoute,
        RouteOptimized,
        "Choose the way by cost, speed or reliability.",
        reads_only=True,
    ),
    _action(
        "validate_compliance",
        ValidateCompliance,
        ComplianceValidated,
        "Screen against sanctions, verification tier, velocity and risk.",
    ),
    _action(
        "check_liquidity",
        CheckLiquidity,
        LiquidityReserved,
        "Set aside what will be paid out; undo: release it.",
        compensable=True,
    ),
    _action(
        "lock_exchange_rate",
        LockExchangeRate,
        RateLocked,
        "Promise a rate until it expires; undo: release it.",
        compensable=True,
    ),
    _action(
        "execute_mmo",
        ExecuteMmo,
        MmoExecuted,
        "Have the mobile-money operator pay out; undo: have it reversed.",
        compensable=True,
    ),
    _action(
        "settle_payment",
        SettlePayment,
        PaymentSettled,
        "Book the payment in the settlement ledger; undo: book the reversing entry.",
        compensable=True,
        emits=(SettlementBooked, SettlementReversed),
    ),
    _action(
        "confirm_payment",
        ConfirmPayment,
        PaymentConfirmed,
        "Issue a receipt and send it to the recipient.",
        emits=(ReceiptIssued,),
    ),
)
