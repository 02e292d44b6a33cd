"""A cross-border payment to mobile money, told by nine small services.

A payer's request is created as a payment, validated, routed and screened. Then money is set aside:
liquidity is reserved in the destination currency and a rate is locked. The mobile-money operator pays
out, the ledger settles, the recipient gets a receipt. If a step says no, whatever was done before is
undone from the last to the first: the ledger entry reversed, the transfer called back, the rate and the
liquidity released, the payment cancelled.
"""

STEP_MODULES = tuple(
    f"services.payments.steps.{name}"
    for name in (
        "create_payment",
        "validate_payment",
        "optimize_route",
        "validate_compliance",
        "check_liquidity",
        "lock_exchange_rate",
        "execute_mmo",
        "settle_payment",
        "confirm_payment",
    )
)

SANDBOX = "services.sandboxes.mobile_money"
"""What stands for the outside world where none is named."""
