"""Every interleaving of small sagas: no schedule, crash, duplicate or abort breaks an invariant."""

from typing import Any

import pytest

from contracts.definition import SagaDefinition
from saga.simulate import Faults, simulate
from saga.simulate.corpus import CORPUS, chain, definition
from services.payments.definitions import DEFINITIONS

BY_NAME = {found.name: found for found in CORPUS}
CHAINS = ("chain-1", "chain-2", "chain-3", "chain-skip", "chain-continue", "chain-pivot")


def explore(found: SagaDefinition, faults: Faults, max_states: int = 200_000) -> int:
    report = simulate(found, faults=faults, max_states=max_states)
    assert not report.violations, "\n".join((str(report.violations[0]), *report.violations[0].trace))
    assert report.complete, f"{report.definition}: more than {max_states} states"
    return report.states


@pytest.mark.parametrize("found", CORPUS, ids=lambda found: found.name)
def test_any_order_of_deliveries_crashes_and_one_abort(found: SagaDefinition) -> None:
    explore(found, Faults())


@pytest.mark.parametrize("found", CORPUS, ids=lambda found: found.name)
def test_forgotten_acknowledgements_a_forgetful_server_and_undos_that_fail(found: SagaDefinition) -> None:
    explore(found, Faults(duplicates=1, forgetful=True, undo_failures=True))


@pytest.mark.parametrize("found", CORPUS, ids=lambda found: found.name)
def test_a_parent_turns_its_child_round_even_after_it_has_completed(found: SagaDefinition) -> None:
    explore(found, Faults(parent=True))


@pytest.mark.parametrize("name", [*CHAINS, "fork-pivot", "nested-join"])
def test_a_parent_turns_its_child_round_with_duplicates_and_undos_that_fail(name: str) -> None:
    explore(BY_NAME[name], Faults(parent=True, duplicates=1, forgetful=True, undo_failures=True))


@pytest.mark.parametrize("found", DEFINITIONS, ids=lambda found: found.name)
def test_the_payment_sagas(found: SagaDefinition) -> None:
    explore(found, Faults())


@pytest.mark.parametrize("name", [*CHAINS, "roots-2", "fork-pivot", "nested-join", "fork", "join-stays"])
def test_a_paused_worker_wakes_up_after_its_delivery_went_to_another(name: str) -> None:
    explore(BY_NAME[name], Faults(zombies=1))


@pytest.mark.parametrize("name", [*CHAINS, "roots-pivot", "nested-join", "join"])
def test_the_server_stores_a_fact_twice(name: str) -> None:
    explore(BY_NAME[name], Faults(stored_twice=1))


@pytest.mark.parametrize("name", [*CHAINS, "fork-pivot", "nested-join"])
def test_effects_outside_the_database_may_be_unknown(name: str) -> None:
    explore(BY_NAME[name], Faults(effects="external"))


@pytest.mark.parametrize(("name", "effects"), [("chain-1", "external"), ("chain-2", "guarded")])
def test_everything_at_once_on_the_smallest_sagas(name: str, effects: str) -> None:
    faults = Faults(
        effects="external" if effects == "external" else "guarded",
        duplicates=1, zombies=1, forgetful=True, retries=True, undo_failures=True,
    )  # fmt: skip
    explore(BY_NAME[name], faults)


@pytest.mark.parametrize("name", ["chain-3", "chain-skip", "chain-pivot", "nested-join"])
def test_failed_attempts_that_are_tried_again(name: str) -> None:
    explore(BY_NAME[name], Faults(retries=True))


def test_an_effect_outside_that_cannot_be_barred_is_safe_while_no_worker_is_paused() -> None:
    from saga.simulate import Shell

    report = simulate(BY_NAME["join"], faults=Faults(effects="external"), shell=Shell(bar=False))
    assert report.complete


def test_a_long_chain_stays_small() -> None:
    assert explore(chain(15), Faults()) < 5_000


def test_a_spent_budget_is_said() -> None:
    report = simulate(BY_NAME["join"], max_states=100)
    assert not report.complete
    assert not report.violations
    assert 100 <= report.states < 200


def test_steps_without_a_compensation_stay() -> None:
    found = definition("some", {"a": "", "b": "a"})
    assert simulate(found, compensable=()).states < simulate(found, compensable=("a",)).states
    assert simulate(found, compensable=("a",)).complete


def redrives() -> list[Any]:
    """Every step of every shape that a saga of it may be redriven from."""
    return [
        pytest.param(found, name, id=f"{found.name}-from-{name}")
        for found in CORPUS
        for name in found.by_name
        if not (found.pivot and found.pivot.name == name)
    ]


@pytest.mark.parametrize(("found", "name"), redrives())
def test_a_redrive_runs_nothing_that_it_has_taken_over(found: SagaDefinition, name: str) -> None:
    report = simulate(found, faults=Faults(duplicates=1, forgetful=True), redriven_from=(name,))
    assert not report.violations, "\n".join((str(report.violations[0]), *report.violations[0].trace))
    assert report.complete
