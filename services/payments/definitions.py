"""The five payment sagas, as tables: step - after - policy. What differs between them is in `presets`.

Every saga takes a `PaymentRequest` and its steps read the same data; only order, limits, screening,
routing and patience differ.
"""

from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.retries import ExponentialRetry, FixedRetry, RetryPolicy

# action -> what it is told, wherever it stands in the order
INPUTS: dict[str, dict[str, Any]] = {
    "create_payment": {
        "reference": "${input.reference}",
        "amount": "${input.amount}",
        "sender_account": "${input.sender.account}",
        "recipient_phone": "${input.recipient.phone}",
    },
    "validate_payment": {
        "amount": "${input.amount}",
        "destination_currency": "${input.destination_currency}",
        "sender": "${input.sender}",
        "recipient": "${input.recipient}",
    },
    "optimize_route": {
        "corridor": "${steps.validate_payment.corridor}",
        "amount_usd": "${steps.validate_payment.amount_usd}",
        "optimize_for": "${input.priority}",
    },
    "validate_compliance": {
        "sender": "${input.sender}",
        "recipient": "${input.recipient}",
        "amount_usd": "${steps.validate_payment.amount_usd}",
        "corridor": "${steps.validate_payment.corridor}",
        "screening": "standard",
    },
    "check_liquidity": {"currency": "${input.destination_currency}", "amount": "${input.amount}"},
    "lock_exchange_rate": {
        "currency": "${input.destination_currency}",
        "amount": "${input.amount}",
        "route_cost_bps": "${steps.optimize_route.cost_bps}",
    },
    "execute_mmo": {
        "operator": "${input.recipient.operator}",
        "phone": "${steps.validate_payment.recipient_phone}",
        "payout": "${steps.lock_exchange_rate.payout}",
        "rate_expires_at": "${steps.lock_exchange_rate.expires_at}",
    },
    "settle_payment": {
        "reference": "${input.reference}",
        "amount": "${input.amount}",
        "fee": "${steps.lock_exchange_rate.fee}",
        "payout": "${steps.lock_exchange_rate.payout}",
        "operator": "${input.recipient.operator}",
        "operator_reference": "${steps.execute_mmo.operator_reference}",
    },
    "confirm_payment": {
        "reference": "${input.reference}",
        "recipient_name": "${input.recipient.name}",
        "phone": "${steps.validate_payment.recipient_phone}",
        "operator": "${input.recipient.operator}",
        "paid": "${steps.execute_mmo.paid}",
        "operator_reference": "${steps.execute_mmo.operator_reference}",
        "entry_hash": "${steps.settle_payment.entry_hash}",
    },
}

QUICKLY = FixedRetry(max_attempts=3, delay_s=0.2)
PATIENTLY = ExponentialRetry(max_attempts=6, delay_s=0.5, max_delay_s=30.0)
HASTILY = FixedRetry(max_attempts=3, delay_s=0.1)


def row(name: str, *after: str, retry: RetryPolicy = QUICKLY, timeout_s: float = 10.0, **given: Any) -> Step:
    """One line of a table: the step, what it follows, its patience, and what it is told besides."""
    return Step(
        name=name,
        action=f"payments.{name}",
        after=after,
        input=INPUTS[name] | given,
        retry=retry,
        timeout_s=timeout_s,
    )


STANDARD = SagaDefinition(
    name="payment-standard",
    description="Any payment: cheapest way, standard screening, one step after the other.",
    input_type="payments.PaymentRequest",
    deadline_s=900,
    steps=(
        row("create_payment"),
        row("validate_payment", "create_payment"),
        row("optimize_route", "validate_payment"),
        row("validate_compliance", "optimize_route"),
        row("check_liquidity", "validate_compliance"),
        row("lock_exchange_rate", "check_liquidity"),
        row("execute_mmo", "lock_exchange_rate", retry=PATIENTLY, timeout_s=30),
        row("settle_payment", "execute_mmo"),
        row("confirm_payment", "settle_payment"),
    ),
)

FAST_TRACK = SagaDefinition(
    name="payment-fast-track",
    description="Small and urgent: fastest way, reduced screening, screening and liquidity side by side.",
    input_type="payments.PaymentRequest",
    deadline_s=120,
    steps=(
        row("create_payment", timeout_s=5),
        row("validate_payment", "create_payment", timeout_s=5, max_amount_usd="500"),
        row("optimize_route", "validate_payment", timeout_s=5, optimize_for="speed"),
        row("validate_compliance", "optimize_route", timeout_s=5, screening="reduced"),
        row("check_liquidity", "optimize_route", timeout_s=5),
        row("lock_exchange_rate", "validate_compliance", "check_liquidity", timeout_s=5),
        row("execute_mmo", "lock_exchange_rate", retry=HASTILY, timeout_s=10),
        row("settle_payment", "execute_mmo", timeout_s=5),
        row("confirm_payment", "settle_payment", timeout_s=5),
    ),
)

HIGH_VALUE = SagaDefinition(
    name="payment-high-value",
    description="Large amounts: most reliable way, enhanced screening before anything else, tight deadline.",
    input_type="payments.PaymentRequest",
    deadline_s=300,
    steps=(
        row("create_payment"),
        row("validate_payment", "create_payment"),
        row("validate_compliance", "validate_payment", screening="enhanced"),
        row("optimize_route", "validate_compliance", optimize_for="reliability"),
        row("check_liquidity", "optimize_route"),
        row("lock_exchange_rate", "check_liquidity"),
        row("execute_mmo", "lock_exchange_rate", retry=PATIENTLY, timeout_s=20),
        row("settle_payment", "execute_mmo"),
        row("confirm_payment", "settle_payment"),
    ),
)

COMPLIANCE_HEAVY = SagaDefinition(
    name="payment-compliance-heavy",
    description="Regulated corridors: enhanced screening right after validation, with time for it.",
    input_type="payments.PaymentRequest",
    deadline_s=1800,
    steps=(
        row("create_payment"),
        row("validate_payment", "create_payment"),
        row("validate_compliance", "validate_payment", retry=PATIENTLY, timeout_s=60, screening="enhanced"),
        row("optimize_route", "validate_compliance"),
        row("check_liquidity", "optimize_route"),
        row("lock_exchange_rate", "check_liquidity"),
        row("execute_mmo", "lock_exchange_rate", retry=PATIENTLY, timeout_s=30),
        row("settle_payment", "execute_mmo"),
        row("confirm_payment", "settle_payment"),
    ),
)

LIQUIDITY_OPTIMIZED = SagaDefinition(
    name="payment-liquidity-optimized",
    description="Thin pools: liquidity is reserved before a way is looked for or anybody is screened.",
    input_type="payments.PaymentRequest",
    deadline_s=900,
    steps=(
        row("create_payment"),
        row("validate_payment", "create_payment"),
        row("check_liquidity", "validate_payment", retry=PATIENTLY),
        row("optimize_route", "check_liquidity"),
        row("validate_compliance", "optimize_route"),
        row("lock_exchange_rate", "validate_compliance"),
        row("execute_mmo", "lock_exchange_rate", retry=PATIENTLY, timeout_s=30),
        row("settle_payment", "execute_mmo"),
        row("confirm_payment", "settle_payment"),
    ),
)

DEFINITIONS = (STANDARD, FAST_TRACK, HIGH_VALUE, COMPLIANCE_HEAVY, LIQUIDITY_OPTIMIZED)
