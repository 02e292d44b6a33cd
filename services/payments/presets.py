"""Which of the payment sagas a payment takes.

preset                       differs from STANDARD in
payment-fast-track           at most 500 USD; fastest way; reduced screening beside liquidity; 120 s
payment-high-value           enhanced screening before routing; most reliable way; 300 s
payment-compliance-heavy     enhanced screening right after validation, 60 s for it; 1,800 s
payment-liquidity-optimized  liquidity before route and screening, asked for patiently
"""

from decimal import Decimal

from contracts.definition import SagaDefinition
from contracts.payments import PaymentRequest
from services.payments.definitions import (
    COMPLIANCE_HEAVY,
    DEFINITIONS,
    FAST_TRACK,
    HIGH_VALUE,
    LIQUIDITY_OPTIMIZED,
    STANDARD,
)
from services.payments.market import Market
from services.payments.market import market as shipped_market
from services.payments.rules import corridor_of, in_usd

HIGH_VALUE_FROM_USD = Decimal(10_000)
FAST_TRACK_UP_TO_USD = Decimal(500)
PRESETS = {definition.name.removeprefix("payment-"): definition for definition in DEFINITIONS}


def choose(request: PaymentRequest, market: Market | None = None) -> SagaDefinition:
    """The saga for a payment: by amount first, then corridor, then urgency, then the pool's depth.

    A payment whose amount cannot be valued takes STANDARD, whose validation will say why it is refused.
    """
    known = market or shipped_market()
    if request.amount.currency not in known.rates:
        return STANDARD
    usd = in_usd(known, request.amount)
    if usd >= HIGH_VALUE_FROM_USD:
        return HIGH_VALUE
    if corridor_of(request.sender.country, request.recipient.country) in known.regulated:
        return COMPLIANCE_HEAVY
    if request.priority == "speed" and usd <= FAST_TRACK_UP_TO_USD:
        return FAST_TRACK
    if request.destination_currency in known.thin_pools:
        return LIQUIDITY_OPTIMIZED
    return STANDARD
