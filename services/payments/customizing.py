"""Payment sagas of one's own, from a configuration: timeouts, retries, screening, steps side by side.

    customize({"name": "payment-payroll", "base": "standard", "parallel": True,
               "steps": {"execute_mmo": {"timeout_s": 60}}})

What is wrong and what is merely unwise are values: all problems at once, and warnings beside a definition
that works.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.payments import Priority, Screening
from contracts.retries import RetryPolicy
from services.payments.presets import FAST_TRACK_UP_TO_USD, HIGH_VALUE_FROM_USD, PRESETS

SIDE_BY_SIDE = {
    "optimize_route": ("validate_payment",),
    "validate_compliance": ("optimize_route",),
    "check_liquidity": ("optimize_route",),
    "lock_exchange_rate": ("validate_compliance", "check_liquidity"),
}


class StepConfig(BaseModel):
    """What may be changed of one step. Seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float | None = Field(default=None, gt=0, le=3600)
    retry: RetryPolicy | None = None


class CustomConfig(BaseModel):
    """A payment saga based on a preset. `parallel`: compliance and liquidity side by side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    version: str = "1"
    base: str = "standard"
    parallel: bool = False
    screening: Screening | None = None
    optimize_for: Priority | None = None
    max_amount_usd: Decimal | None = Field(default=None, gt=0)
    deadline_s: float | None = Field(default=None, gt=0)
    steps: dict[str, StepConfig] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """What is wrong: a JSON pointer into the configuration, and a sentence."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Customized:
    """The saga, or why there is none; and what its author should think about."""

    definition: SagaDefinition | None = None
    problems: tuple[ConfigProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def customize(config: Mapping[str, Any]) -> Customized:
    """A payment saga from a configuration."""
    try:
        wanted = CustomConfig.model_validate(config)
    except ValidationError as error:
        return Customized(problems=_problems(error))
    if problems := tuple(_unknown_names(wanted)):
        return Customized(problems=problems)
    base = PRESETS[wanted.base]
    try:
        definition = SagaDefinition(
            name=wanted.name,
            version=wanted.version,
            description=f"Based on {base.ref}.",
            input_type=base.input_type,
            deadline_s=wanted.deadline_s or base.deadline_s,
            steps=tuple(_customized(step, wanted) for step in base.steps),
        )
    except ValidationError as error:
        return Customized(problems=_problems(error))
    return Customized(definition=definition, warnings=tuple(_warnings(definition, wanted)))


def _problems(error: ValidationError) -> tuple[ConfigProblem, ...]:
    return tuple(
        ConfigProblem("/" + "/".join(str(part) for part in problem["loc"]), problem["msg"])
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _unknown_names(wanted: CustomConfig) -> Iterator[ConfigProblem]:
    base = PRESETS.get(wanted.base)
    if base is None:
        yield ConfigProblem("/base", f"no preset {wanted.base!r}: there are {', '.join(PRESETS)}")
        return
    for name in wanted.steps.keys() - base.by_name.keys():
        yield ConfigProblem(f"/steps/{name}", f"no step {name!r}: there are {', '.join(base.by_name)}")


def _customized(step: Step, wanted: CustomConfig) -> Step:
    config = wanted.steps.get(step.name, StepConfig())
    changes = {
        "timeout_s": config.timeout_s,
        "retry": config.retry,
        "after": SIDE_BY_SIDE.get(step.name) if wanted.parallel else None,
        "input": step.input | _told(step.name, wanted),
    }
    return step.model_copy(update={name: change for name, change in changes.items() if change is not None})


def _told(step: str, wanted: CustomConfig) -> dict[str, str]:
    told: dict[str, dict[str, object]] = {
        "validate_compliance": {"screening": wanted.screening},
        "optimize_route": {"optimize_for": wanted.optimize_for},
        "validate_payment": {"max_amount_usd": wanted.max_amount_usd},
    }
    return {name: str(value) for name, value in told.get(step, {}).items() if value is not None}


def _warnings(definition: SagaDefinition, wanted: CustomConfig) -> Iterator[str]:
    slowest = _slowest_s(definition)
    if definition.deadline_s is not None and slowest > definition.deadline_s:
        yield f"one attempt of every step may take {slowest:g} s: the deadline is {definition.deadline_s:g} s"
    if _reserves_unscreened(definition):
        yield "liquidity is reserved before screening has ended, and released if it refuses"
    if _screening(definition) == "reduced" and _limit_usd(definition) > FAST_TRACK_UP_TO_USD:
        yield f"reduced screening above {FAST_TRACK_UP_TO_USD} USD: set max_amount_usd"
    if definition.by_name["execute_mmo"].retry.max_attempts == 1:
        yield "execute_mmo is not retried: a short outage of an operator undoes the payment"
    if wanted.parallel and _same_order(PRESETS[wanted.base], definition):
        yield f"parallel changes nothing: {wanted.base} has compliance and liquidity side by side"


def _slowest_s(definition: SagaDefinition) -> float:
    """The longest way through the steps, one attempt each."""
    until: dict[str, float] = {}
    for name in definition.graph.order:
        before = (until[other] for other in definition.graph.predecessors[name])
        until[name] = max(before, default=0.0) + definition.by_name[name].timeout_s
    return max(until.values())


def _reserves_unscreened(definition: SagaDefinition) -> bool:
    return "validate_compliance" not in definition.graph.ancestors["check_liquidity"]


def _screening(definition: SagaDefinition) -> str:
    return str(definition.by_name["validate_compliance"].input["screening"])


def _limit_usd(definition: SagaDefinition) -> Decimal:
    limit = definition.by_name["validate_payment"].input.get("max_amount_usd")
    return Decimal(limit) if limit else HIGH_VALUE_FROM_USD


def _same_order(one: SagaDefinition, other: SagaDefinition) -> bool:
    return {step.name: step.after for step in one.steps} == {step.name: step.after for step in other.steps}
