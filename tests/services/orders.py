"""Payments to test with: one that every rule lets pass, and ways to change it."""

from typing import Any

from contracts.money import Money
from contracts.payments import (
    CheckLiquidity,
    ConfirmPayment,
    CreatePayment,
    ExecuteMmo,
    LockExchangeRate,
    Operator,
    PaymentRequest,
    SettlePayment,
    ValidateCompliance,
    ValidatePayment,
)
from events.clock import utc_now

SENDER: dict[str, Any] = {
    "name": "Helen Fletcher",
    "phone": "+447400123456",
    "country": "GB",
    "account": "ACC-1",
    "kyc_tier": 2,
}
RECIPIENT: dict[str, Any] = {
    "name": "Amina Mwangi",
    "phone": "+254712123456",
    "country": "KE",
    "operator": "mpesa",
}
PHONE = "+254712123456"


def a_request(**changes: Any) -> PaymentRequest:
    """250 GBP from London to Nairobi."""
    request = {
        "reference": "INV-1",
        "amount": {"amount": "250.00", "currency": "GBP"},
        "destination_currency": "KES",
        "sender": SENDER,
        "recipient": RECIPIENT,
    }
    return PaymentRequest.model_validate(request | changes)


def to_create(request: PaymentRequest) -> CreatePayment:
    return CreatePayment(
        reference=request.reference,
        amount=request.amount,
        sender_account=request.sender.account,
        recipient_phone=request.recipient.phone,
    )


def to_validate(request: PaymentRequest, **changes: Any) -> ValidatePayment:
    told = {
        "amount": request.amount,
        "destination_currency": request.destination_currency,
        "sender": request.sender,
        "recipient": request.recipient,
    }
    return ValidatePayment.model_validate(told | changes)


def to_screen(request: PaymentRequest, **changes: Any) -> ValidateCompliance:
    told = {
        "sender": request.sender,
        "recipient": request.recipient,
        "amount_usd": "317.26",
        "corridor": "GB-KE",
        "screening": "standard",
    }
    return ValidateCompliance.model_validate(told | changes)


def to_reserve(amount: str = "250.00", currency: str = "KES") -> CheckLiquidity:
    return CheckLiquidity(amount=Money.of(amount, "GBP"), currency=currency)


def to_lock(amount: str = "250.00", currency: str = "KES") -> LockExchangeRate:
    return LockExchangeRate(amount=Money.of(amount, "GBP"), currency=currency, route_cost_bps=32)


def to_pay(phone: str = PHONE, amount: str = "40000.00", **changes: Any) -> ExecuteMmo:
    told: dict[str, Any] = {
        "operator": Operator.MPESA,
        "phone": phone,
        "payout": Money.of(amount, "KES"),
        "rate_expires_at": utc_now().replace(year=2100),
    }
    return ExecuteMmo.model_validate(told | changes)


def to_settle(reference: str = "INV-1", payout: str = "40000.00") -> SettlePayment:
    return SettlePayment(
        reference=reference,
        amount=Money.of("250.00", "GBP"),
        fee=Money.of("3.80", "GBP"),
        payout=Money.of(payout, "KES"),
        operator=Operator.MPESA,
        operator_reference="MP1",
    )


def to_confirm(phone: str = PHONE, payout: str = "40000.00") -> ConfirmPayment:
    return ConfirmPayment(
        reference="INV-1",
        recipient_name="Amina Mwangi",
        phone=phone,
        operator=Operator.MPESA,
        paid=Money.of(payout, "KES"),
        operator_reference="MP1",
        entry_hash="0" * 64,
    )
