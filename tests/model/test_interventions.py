"""Pauses, wishes and timers at any point of small sagas: whatever rests is woken, once, and the saga ends."""

from typing import Literal

import pytest

from saga.simulate import Faults
from tests.model.test_exhaustive import BY_NAME, explore


@pytest.mark.parametrize(
    "name", ["chain-1", "chain-2", "chain-stays-at-the-end", "chain-skip", "chain-pivot", "chain-continue"]
)
def test_a_saga_is_paused_and_resumed_at_any_point(name: str) -> None:
    explore(BY_NAME[name], Faults(pauses=1))


@pytest.mark.parametrize("name", ["chain-1", "chain-2"])
def test_a_worker_holds_back_what_a_paused_one_has_begun(name: str) -> None:
    explore(BY_NAME[name], Faults(pauses=1, zombies=1))


def test_a_saga_is_paused_twice_and_acknowledgements_are_forgotten() -> None:
    explore(BY_NAME["chain-1"], Faults(pauses=2, duplicates=1))


@pytest.mark.parametrize("name", ["chain-1", "chain-2", "chain-pivot"])
def test_parked_attempts_are_woken_by_their_timer(name: str) -> None:
    explore(BY_NAME[name], Faults(retries=True, parks=True))


def test_a_timer_may_fire_late_and_a_paused_worker_may_park_what_is_being_undone() -> None:
    explore(BY_NAME["chain-1"], Faults(retries=True, parks=True, zombies=1, effects="external"))


@pytest.mark.parametrize("name", ["chain-1", "chain-2"])
def test_a_step_is_skipped_by_a_person_at_any_point(name: str) -> None:
    explore(BY_NAME[name], Faults(wishes=1))
    explore(BY_NAME[name], Faults(wishes=1, zombies=1))


@pytest.mark.parametrize("name", ["chain-1", "chain-2"])
def test_an_undo_that_failed_is_retried_or_given_up(name: str) -> None:
    explore(BY_NAME[name], Faults(wishes=1, undo_failures=True))


@pytest.mark.parametrize(
    ("name", "effects"), [("chain-1", "guarded"), ("chain-1", "external"), ("chain-2", "guarded")]
)
def test_an_undo_is_given_up_while_a_paused_worker_is_in_the_middle_of_it(
    name: str, effects: Literal["guarded", "external"]
) -> None:
    explore(BY_NAME[name], Faults(wishes=1, undo_failures=True, zombies=1, effects=effects))


def test_a_person_changes_their_mind_about_an_undo_that_failed() -> None:
    explore(BY_NAME["chain-1"], Faults(wishes=2, undo_failures=True))


def test_all_of_it_at_once_on_the_smallest_saga() -> None:
    explore(BY_NAME["chain-1"], Faults(pauses=1, wishes=1, duplicates=1))
    explore(BY_NAME["chain-1"], Faults(pauses=1, retries=True, parks=True))
    explore(BY_NAME["chain-1"], Faults(wishes=1, retries=True, parks=True, undo_failures=True))
