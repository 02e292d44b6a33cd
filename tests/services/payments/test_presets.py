"""The five presets: what differs between them, and which one a payment takes."""

from decimal import Decimal
from typing import Any

import pytest

from contracts.definition import SagaDefinition
from contracts.payments import ACTIONS
from contracts.references import Reference
from saga.domains import domain_actions
from services.payments.definitions import (
    COMPLIANCE_HEAVY,
    DEFINITIONS,
    FAST_TRACK,
    HIGH_VALUE,
    LIQUIDITY_OPTIMIZED,
    STANDARD,
)
from services.payments.presets import PRESETS, choose
from tests.services.orders import SENDER, a_request


def told(definition: SagaDefinition, step: str, what: str) -> Any:
    return definition.by_name[step].input.get(what)


@pytest.mark.parametrize(
    ("definition", "screening", "optimizes", "limit_usd", "deadline_s"),
    [
        (STANDARD, "standard", "${input.priority}", None, 900),
        (FAST_TRACK, "reduced", "speed", "500", 120),
        (HIGH_VALUE, "enhanced", "reliability", None, 300),
        (COMPLIANCE_HEAVY, "enhanced", "${input.priority}", None, 1800),
        (LIQUIDITY_OPTIMIZED, "standard", "${input.priority}", None, 900),
    ],
)
def test_what_the_presets_are_told(
    definition: SagaDefinition, screening: str, optimizes: str, limit_usd: str | None, deadline_s: float
) -> None:
    assert told(definition, "validate_compliance", "screening") == screening
    assert told(definition, "optimize_route", "optimize_for") == optimizes
    assert told(definition, "validate_payment", "max_amount_usd") == limit_usd
    assert definition.deadline_s == deadline_s


def test_what_the_presets_do_first() -> None:
    order = {name: [step.name for step in preset.steps] for name, preset in PRESETS.items()}
    assert order["standard"] == [
        "create_payment", "validate_payment", "optimize_route", "validate_compliance", "check_liquidity",
        "lock_exchange_rate", "execute_mmo", "settle_payment", "confirm_payment",
    ]  # fmt: skip
    assert order["fast-track"] == order["standard"]
    for screened_first in ("high-value", "compliance-heavy"):
        assert order[screened_first].index("validate_compliance") == 2
    assert order["liquidity-optimized"].index("check_liquidity") == 2


def test_only_fast_track_has_screening_and_liquidity_side_by_side() -> None:
    side_by_side = [
        name
        for name, preset in PRESETS.items()
        if "validate_compliance" not in preset.graph.ancestors["check_liquidity"]
        and "check_liquidity" not in preset.graph.ancestors["validate_compliance"]
    ]
    assert side_by_side == ["fast-track"]


def test_deadlines_and_patience_differ() -> None:
    slowest = {name: sum(step.timeout_s for step in preset.steps) for name, preset in PRESETS.items()}
    assert slowest["fast-track"] < slowest["high-value"] < slowest["standard"] < slowest["compliance-heavy"]
    for preset in DEFINITIONS:
        assert preset.deadline_s is not None
        assert preset.deadline_s > sum(step.timeout_s for step in preset.steps), preset.ref


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_every_preset_uses_every_action_once(definition: SagaDefinition) -> None:
    assert sorted(step.action for step in definition.steps) == sorted(action.name for action in ACTIONS)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_every_step_is_told_what_its_action_needs(definition: SagaDefinition) -> None:
    contracts = {action.name: action for action in ACTIONS}
    for step in definition.steps:
        fields = contracts[step.action].input.model_fields
        needed = {name for name, field in fields.items() if field.is_required()}
        assert needed <= step.input.keys() <= fields.keys(), step.name


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_every_reference_is_a_field_that_is_there(definition: SagaDefinition) -> None:
    outputs = {step.name: step.action for step in definition.steps}
    contracts = {action.name: action for action in ACTIONS}

    def there(reference: Reference) -> bool:
        if reference.step is None:
            return str(reference.path[0]) in a_request().model_dump()
        return str(reference.path[1]) in contracts[outputs[reference.step]].output.model_fields

    assert all(there(reference) for step in definition.steps for reference in step.references)


def test_the_services_offer_what_the_contract_promises() -> None:
    offered = {action.name: action.compensable for action in domain_actions("payments")}
    assert offered == {action.name: action.compensable for action in ACTIONS}
    assert all(action.description for action in ACTIONS)


def money(amount: str, currency: str = "GBP") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


NIGERIAN = {"name": "Chidi Eze", "phone": "+2348021234567", "country": "NG", "operator": "mtn_momo"}
ZAMBIAN = {"name": "Mary Phiri", "phone": "+260955123456", "country": "ZM", "operator": "mtn_momo"}


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        (STANDARD, {}),
        (STANDARD, {"priority": "speed", "amount": money("394.01")}),
        (FAST_TRACK, {"priority": "speed", "amount": money("394.00")}),
        (HIGH_VALUE, {"amount": money("7880.00")}),
        (HIGH_VALUE, {"amount": money("7880.00"), "recipient": NIGERIAN, "destination_currency": "NGN"}),
        (COMPLIANCE_HEAVY, {"recipient": NIGERIAN, "destination_currency": "NGN"}),
        (COMPLIANCE_HEAVY, {"recipient": NIGERIAN, "destination_currency": "NGN", "priority": "speed"}),
        (LIQUIDITY_OPTIMIZED, {"recipient": ZAMBIAN, "destination_currency": "ZMW"}),
        (FAST_TRACK, {"recipient": ZAMBIAN, "destination_currency": "ZMW", "priority": "speed"}),
        (STANDARD, {"amount": money("100", "XQQ")}),
        (STANDARD, {"sender": SENDER | {"country": "AQ"}}),
    ],
)
def test_amount_corridor_and_urgency_choose_the_preset(
    preset: SagaDefinition, changes: dict[str, Any]
) -> None:
    assert choose(a_request(**changes)).ref == preset.ref


def test_the_fast_track_is_only_chosen_below_its_own_limit() -> None:
    limit = Decimal(told(FAST_TRACK, "validate_payment", "max_amount_usd"))
    just_below = money(str(limit * Decimal("0.788")))
    assert choose(a_request(priority="speed", amount=just_below)) is FAST_TRACK
