"""Payment sagas from a configuration: what can be changed, what is wrong, what is unwise."""

from typing import Any

import pytest

from contracts.definition import SagaDefinition
from services.payments.customizing import customize
from services.payments.presets import PRESETS


def made(**config: Any) -> SagaDefinition:
    customized = customize({"name": "payment-own"} | config)
    assert customized.definition is not None, customized.problems
    return customized.definition


def warnings(**config: Any) -> str:
    return " ".join(customize({"name": "payment-own"} | config).warnings)


@pytest.mark.parametrize("base", sorted(PRESETS))
def test_without_changes_it_is_the_preset_under_another_name(base: str) -> None:
    assert made(base=base).steps == PRESETS[base].steps
    assert made(base=base).deadline_s == PRESETS[base].deadline_s


def test_timeouts_and_retries_can_be_changed_per_step() -> None:
    retry = {"kind": "linear", "max_attempts": 7, "delay_s": 2.0}
    own = made(steps={"execute_mmo": {"timeout_s": 60, "retry": retry}}, deadline_s=1200)
    assert own.by_name["execute_mmo"].timeout_s == 60
    assert own.by_name["execute_mmo"].retry.max_attempts == 7
    assert own.by_name["settle_payment"] == PRESETS["standard"].by_name["settle_payment"]
    assert own.deadline_s == 1200


@pytest.mark.parametrize("base", sorted(PRESETS))
def test_compliance_and_liquidity_can_be_put_side_by_side(base: str) -> None:
    graph = made(base=base, parallel=True).graph
    assert graph.predecessors["validate_compliance"] == graph.predecessors["check_liquidity"]
    assert set(graph.predecessors["lock_exchange_rate"]) == {"validate_compliance", "check_liquidity"}


def test_what_a_step_is_told_really_arrives_there() -> None:
    own = made(screening="enhanced", optimize_for="speed", max_amount_usd="750")
    scope: dict[str, Any] = {
        "input": dict.fromkeys(("sender", "recipient", "amount", "destination_currency"), "x"),
        "steps": {"validate_payment": {"amount_usd": "1", "corridor": "GB-KE"}},
    }
    assert own.by_name["validate_compliance"].template.resolve(scope)["screening"] == "enhanced"
    assert own.by_name["optimize_route"].template.resolve(scope)["optimize_for"] == "speed"
    assert own.by_name["validate_payment"].template.resolve(scope)["max_amount_usd"] == "750"


def test_all_problems_are_said_at_once_and_where_they_are() -> None:
    customized = customize(
        {"name": "Not A Name", "deadline_s": -1, "unknown": 1, "steps": {"execute_mmo": {"timeout_s": 0}}}
    )
    assert customized.definition is None
    pointers = {problem.pointer for problem in customized.problems}
    assert pointers == {"/name", "/deadline_s", "/unknown", "/steps/execute_mmo/timeout_s"}


@pytest.mark.parametrize(
    ("config", "pointer", "said"),
    [
        ({"base": "cheap"}, "/base", "there are standard, fast-track"),
        ({"steps": {"fly": {}}}, "/steps/fly", "there are create_payment"),
        ({"version": "no version"}, "/version", "match pattern"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(config: dict[str, Any], pointer: str, said: str) -> None:
    (problem,) = customize({"name": "payment-own"} | config).problems
    assert problem.pointer == pointer
    assert said in problem.detail


def test_a_preset_has_nothing_to_warn_of_but_its_own_choice() -> None:
    assert {base: len(customize({"name": "own", "base": base}).warnings) for base in PRESETS} == {
        "standard": 0,
        "fast-track": 1,
        "high-value": 0,
        "compliance-heavy": 0,
        "liquidity-optimized": 1,
    }


def test_a_deadline_shorter_than_the_steps_is_unwise() -> None:
    assert "deadline" in warnings(deadline_s=60)
    # Side by side, only the longer of the two counts.
    assert "deadline" in warnings(deadline_s=105)
    assert "deadline" not in warnings(deadline_s=105, parallel=True)


def test_reduced_screening_of_large_amounts_is_unwise() -> None:
    assert "reduced screening" in warnings(screening="reduced")
    assert "reduced screening" in warnings(screening="reduced", max_amount_usd="501")
    assert "reduced screening" not in warnings(screening="reduced", max_amount_usd="500")


def test_never_trying_again_is_unwise() -> None:
    assert "not retried" in warnings(steps={"execute_mmo": {"retry": {"kind": "none"}}})


def test_asking_for_what_is_so_already_is_said() -> None:
    assert "changes nothing" in warnings(base="fast-track", parallel=True)
