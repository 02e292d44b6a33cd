"""The invariants accept what is right and name what is wrong."""

import pytest

from contracts.facts import Recorded
from contracts.subjects import SAGA_STEP
from saga.invariants import Effects, StepEffects, audit, check_effects, check_end, check_facts, check_journal
from saga.simulate.corpus import definition
from saga.simulate.stream import simulated_fact

TWO = definition("two", {"a": "", "b": "a"})
PIVOT = definition("pivot", {"a": "", "b": "a"}, a={"pivot": True})
DONE, UNDONE = StepEffects(1, 0), StepEffects(1, 1)
RIGHT = ("a.started", "a.completed", "b.started", "b.failed/none", "aborted", "b.stood_down", "a.compensated")


def facts(*said: str) -> list[Recorded]:
    found = []
    for sequence, text in enumerate(("started", *said), 1):
        name, _, effect = text.partition("/")
        step, _, kind = name.rpartition(".")
        found.append(Recorded(sequence, simulated_fact(TWO.ref, step or SAGA_STEP, kind, effect)))
    return found


def test_a_saga_as_it_should_be_has_no_breach() -> None:
    assert audit(TWO, facts(*RIGHT), {"a": UNDONE}, at_rest=True) == []
    finished = facts("a.started", "a.completed", "b.started", "b.completed")
    assert audit(TWO, finished, {"a": DONE, "b": DONE}, at_rest=True) == []


def test_a_fact_stored_twice_by_the_server_is_no_breach() -> None:
    assert check_facts(TWO, facts("a.started", "a.completed", "a.completed", "b.started")) == []


@pytest.mark.parametrize(
    ("invariant", "said"),
    [
        ("one_outcome", ("a.completed", "a.skipped")),
        ("one_abort", ("aborted", "aborted*")),
        ("one_closing", ("a.started", "aborted", "a.stood_down", "a.compensated")),
        ("fence", ("aborted", "a.completed")),
        ("needs", ("b.started",)),
        ("closing", ("a.started", "a.compensated")),
        ("closing", ("aborted", "a.compensated")),
        ("reverse_order", ("a.started", "a.completed", "b.started", "aborted", "a.compensated")),
        ("final_status", ("a.started", "a.completed", "b.completed", "aborted", "a.compensated")),
    ],
)
def test_a_broken_story_is_named(invariant: str, said: tuple[str, ...]) -> None:
    story = facts(*(text.rstrip("*") for text in said))
    for index, text in enumerate(said, 1):
        if text.endswith("*"):
            other = story[index].fact.model_copy(update={"id": "another"})
            story[index] = Recorded(story[index].sequence, other)
    assert [breach.invariant for breach in check_facts(TWO, story)] == [invariant]


def test_an_abort_after_the_pivot_is_named() -> None:
    (breach,) = check_facts(PIVOT, facts("a.completed", "aborted"))
    assert (breach.invariant, breach.step) == ("pivot", "a")


@pytest.mark.parametrize(
    ("invariant", "effects", "said"),
    [
        ("effect_once", {"a": StepEffects(2, 0)}, ()),
        ("undo_once", {"a": StepEffects(1, 2)}, ("a.started", "aborted")),
        ("undo_once", {"a": StepEffects(0, 1)}, ("a.started", "aborted")),
        ("facts_tell_the_truth", {}, ("a.completed",)),
        ("facts_tell_the_truth", {"a": DONE}, ("a.skipped",)),
        ("facts_tell_the_truth", {"a": DONE, "b": DONE}, ("a.completed", "b.failed/none")),
        ("all_or_nothing", {"a": UNDONE}, ("a.started", "a.completed")),
        ("all_or_nothing", {"a": DONE, "b": UNDONE}, ("a.completed", "b.completed")),
        ("reverse_order", {"a": UNDONE, "b": DONE}, ("a.started", "a.completed", "b.started", "aborted")),
    ],
)
def test_a_broken_effect_is_named(invariant: str, effects: Effects, said: tuple[str, ...]) -> None:
    assert invariant in {breach.invariant for breach in check_effects(TWO, facts(*said), effects)}


def test_a_compensable_effect_without_its_started_is_named() -> None:
    story = facts("aborted")
    assert check_effects(TWO, story, {"a": DONE}) == []
    (breach,) = check_effects(TWO, story, {"a": DONE}, compensable={"a"})
    assert str(breach) == "all_or_nothing at a: the saga is compensated, and its effect is live"


def test_a_saga_at_rest_has_ended_or_waits_for_a_person() -> None:
    (breach,) = check_end(TWO, facts("a.completed"))
    assert breach.invariant == "not_stuck"
    assert check_end(TWO, facts("a.started", "aborted", "a.compensation_failed")) == []


def test_a_journal_keeps_the_order_forward_and_back() -> None:
    assert check_journal(TWO, [("a", "done"), ("b", "done"), ("b", "undone"), ("a", "undone")]) == []
    wrong = check_journal(TWO, [("a", "done"), ("b", "done"), ("a", "undone")])
    assert [str(breach) for breach in wrong] == ["reverse_order at a: undone out of order with b"]
    late = check_journal(TWO, [("a", "done"), ("a", "undone"), ("b", "done")])
    assert [breach.step for breach in late] == ["b"]
    assert check_journal(TWO, [("a", "done"), ("a", "done")])[0].invariant == "effect_once"
