"""Which of the payment sagas a payment takes, and sagas of one's own from a configuration.

preset                       differs from STANDARD in
payment-fast-track           at most 500 USD; fastest way; reduced screening beside liquidity; 120 s
payment-high-value           enhanced screening before routing; most reliable way; 300 s
payment-compliance-heavy     enhanced screening right after validation, 60 s for it; 1,800 s
payment-liquidity-optimized  liquidity before route and screening, asked for patiently
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.payments import PaymentRequest, Priority, Screening
from contracts.retries import RetryPolicy
from services.payments.definitions import (
    COMPLIANCE_HEAVY,
    DEFINITIONS,
    FAST_TRACK,
    HIGH_VALUE,
    LIQUIDITY_OPTIMIZED,
    STANDARD,
)
from services.payments.market import Market, market
from services.payments.rules import corridor_of, in_usd

HIGH_VALUE_FROM_USD = Decimal(10_000)
FAST_TRACK_UP_TO_USD = Decimal(500)
PRESETS = {definition.name.removeprefix("payment-"): definition for definition in DEFINITIONS}


def choose(request: PaymentRequest, market: Market | None = None) -> SagaDefinition:
    """The saga for a payment: by amount first, then corridor, then urgency, then the pool's depth.

    A payment whose amount cannot be valued takes STANDARD, whose validation will say why it is refused.
    """
    known = market or _shipped()
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


def _shipped() -> Market:
    return market()


class StepConfig(BaseModel):
    """What may be changed of one step. Seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float | None = Field(default=None, gt=0, le=3600)
    retry: RetryPolicy | None = None


class CustomConfig(BaseModel):
    """A payment saga of one's own, based on a preset. `parallel`: compliance and liquidity side by side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    version: str = "1"
    base: Literal["standard", "fast-track", "high-value", "compliance-heavy", "liquidity-optimized"] = (
        "standard"
    )
    parallel: bool = False
    screening: Screening | None = None
    optimize_for: Priority | None = None
    max_amount_usd: Decimal | None = Field(default=None, gt=0)
    deadline_s: float | None = Field(default=None, gt=0)
    steps: dict[str, StepConfig] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customized:
    """The saga, and what its author should think about."""

    definition: SagaDefinition
    warnings: tuple[str, ...]


def customize(config: dict[str, Any]) -> Customized:
    """A payment saga from a configuration. Raises InvalidContract with all problems at once."""
    try:
        wanted = CustomConfig.model_validate(config)
    except ValidationError as error:
        raise InvalidContract(f"payment configuration: {explain(error)}") from error
    base = PRESETS[wanted.base]
    if unknown := sorted(wanted.steps.keys() - base.by_name.keys()):
        raise InvalidContract(
            f"payment configuration: /steps: no step {', '.join(unknown)}: there are {', '.join(base.by_name)}"
        )
    steps = tuple(_customized(step, wanted) for step in base.steps)
    if wanted.parallel:
        steps = _side_by_side(steps)
    definition = SagaDefinition(
        name=wanted.name,
        version=wanted.version,
        description=f"Based on {base.name}.",
        input_type=base.input_type,
        deadline_s=wanted.deadline_s or base.deadline_s,
        steps=steps,
    )
    return Customized(definition, tuple(_warnings(definition, wanted)))


def _customized(step: Step, wanted: CustomConfig) -> Step:
    change: dict[str, Any] = {}
    config = wanted.steps.get(step.name)
    if config is not None:
        change |= config.model_dump(exclude_none=True, exclude={"retry"})
        change |= {"retry": config.retry} if config.retry is not None else {}
    given = {
        "validate_compliance": {"screening": wanted.screening},
        "optimize_route": {"optimize_for": wanted.optimize_for},
        "validate_payment": {"max_amount_usd": str(wanted.max_amount_usd) if wanted.max_amount_usd else None},
    }.get(step.name, {})
    told = {name: value for name, value in given.items() if value is not None}
    return step.model_copy(update=change | {"input": step.input | told})


def _side_by_side(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Compliance and liquidity after the route, and the rate after both."""
    after = {
        "optimize_route": ("validate_payment",),
        "validate_compliance": ("optimize_route",),
        "check_liquidity": ("optimize_route",),
        "lock_exchange_rate": ("validate_compliance", "check_liquidity"),
    }
    return tuple(step.model_copy(update={"after": after.get(step.name, step.after)}) for step in steps)


def _warnings(definition: SagaDefinition, wanted: CustomConfig) -> list[str]:
    warnings = []
    slowest = sum(step.timeout_s for step in definition.steps)
    if definition.deadline_s is not None and slowest > definition.deadline_s:
        warnings.append(
            f"one attempt of every step may take {slowest:g} s, more than the deadline of {definition.deadline_s:g} s"
        )
    if wanted.parallel:
        warnings.append("liquidity is reserved before screening has ended, and released if it refuses")
    if (
        wanted.screening == "reduced"
        and (wanted.max_amount_usd or HIGH_VALUE_FROM_USD) > FAST_TRACK_UP_TO_USD
    ):
        warnings.append(f"reduced screening above {FAST_TRACK_UP_TO_USD} USD: set max_amount_usd")
    operator = definition.by_name["execute_mmo"]
    if operator.retry.max_attempts == 1:
        warnings.append("execute_mmo is not retried: a short outage of an operator undoes the payment")
    return warnings
