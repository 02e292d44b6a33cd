"""What state a saga is in, told from its facts alone."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition
from contracts.facts import FactKind, Recorded
from contracts.subjects import SAGA_STEP
from saga.simulate.corpus import CORPUS, definition
from saga.simulate.stream import UNDO_ATTEMPT, simulated_fact
from saga.state import SagaState, SagaStatus, StepStatus, advance, fold, initial

TWO = definition("two", {"a": "", "b": "a"})
PIVOT = definition("pivot", {"a": "", "b": "a", "c": ""}, a={"pivot": True})


def facts(*said: str, of: SagaDefinition = TWO) -> list[Recorded]:
    found = []
    for sequence, text in enumerate(("started", *said), 1):
        name, _, effect = text.partition("/")
        step, _, kind = name.rpartition(".")
        found.append(Recorded(sequence, simulated_fact(of.ref, step or SAGA_STEP, kind, effect)))
    return found


def state(*said: str, of: SagaDefinition = TWO) -> SagaState:
    return fold(of, facts(*said, of=of))


def test_a_saga_nobody_has_heard_of_is_running_from_the_start() -> None:
    assert initial(TWO).status == SagaStatus.RUNNING
    assert state().status == SagaStatus.RUNNING


def test_a_saga_is_completed_when_every_step_has_let_it_pass() -> None:
    assert state("a.started", "a.completed").status == SagaStatus.RUNNING
    done = state("a.completed", "b.skipped")
    assert done.status == SagaStatus.COMPLETED
    assert done.ended_sequence == 3


def test_a_failure_that_may_continue_does_not_hold_up_completion() -> None:
    continues = definition("continues", {"a": "", "b": "a"}, a={"on_error": "continue"})
    assert state("a.failed/unknown", "b.completed", of=continues).status == SagaStatus.COMPLETED


def test_an_aborted_saga_is_compensated_when_nothing_is_open() -> None:
    assert state("aborted").status == SagaStatus.COMPENSATED
    turning = ("a.started", "a.completed", "b.started", "aborted")
    assert state(*turning).status == SagaStatus.COMPENSATING
    assert state(*turning, "b.stood_down").status == SagaStatus.COMPENSATING
    assert state(*turning, "b.stood_down", "a.compensated").status == SagaStatus.COMPENSATED


def test_a_failed_compensation_waits_for_a_person_until_it_is_done() -> None:
    waiting = ("a.started", "a.completed", "aborted", "a.compensation_failed")
    assert state(*waiting).status == SagaStatus.WAITING
    assert state(*waiting, "a.compensated").status == SagaStatus.COMPENSATED


def test_a_failure_after_the_pivot_fails_the_saga_when_nothing_else_can_run() -> None:
    assert state("a.completed", "b.failed/none", of=PIVOT).status == SagaStatus.RUNNING
    assert state("a.completed", "b.failed/none", "c.completed", of=PIVOT).status == SagaStatus.FAILED


def test_an_end_is_final() -> None:
    assert state("a.completed", "b.completed", "aborted").status == SagaStatus.COMPLETED
    assert state("aborted", "a.completed", "b.completed").status == SagaStatus.COMPENSATED


@pytest.mark.parametrize("late", ["a.attempt_failed/none", "a.attempt_failed/unknown"])
def test_an_attempt_of_a_paused_worker_reopens_nothing(late: str) -> None:
    # Regression: stated after the step's outcome, it kept the saga running for ever.
    assert state("a.completed", late, "b.completed").status == SagaStatus.COMPLETED
    assert state("a.completed", late).steps["a"].status == StepStatus.COMPLETED


@pytest.mark.parametrize("late", [f"a.{UNDO_ATTEMPT}/unknown", "a.compensation_failed"])
def test_a_complaint_of_a_paused_worker_reopens_nothing(late: str) -> None:
    # Regression: stated after another worker had closed the step, it kept the saga compensating for ever.
    said = ("a.started", "a.completed", "b.started", "aborted", "b.compensated", late.replace("a.", "b.", 1))
    assert state(*said).steps["b"].status == StepStatus.COMPENSATED
    assert state(*said, "a.compensated").status == SagaStatus.COMPENSATED


def test_an_undo_that_failed_for_good_stays_so_until_it_is_done() -> None:
    said = ("a.started", "a.completed", "aborted", "a.compensation_failed", f"a.{UNDO_ATTEMPT}/unknown")
    assert state(*said).status == SagaStatus.WAITING


def test_facts_of_unknown_steps_change_nothing_but_the_position() -> None:
    strange = Recorded(2, simulated_fact(TWO.ref, "stranger", FactKind.COMPLETED))
    assert fold(TWO, [*facts(), strange]).steps == state().steps


KINDS = sorted(set(FactKind) - {FactKind.ABORTED})


def recorded(found: SagaDefinition, said: Sequence[tuple[int, str]]) -> list[Recorded]:
    names = list(found.by_name)
    texts = ["aborted" if index == 0 else f"{names[index % len(names)]}.{kind}/none" for index, kind in said]
    return facts(*texts, of=found)


@settings(max_examples=300, deadline=None)
@given(
    found=st.sampled_from(CORPUS),
    said=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(KINDS)), max_size=20),
    cut=st.integers(0, 20),
    again=st.integers(0, 20),
)
def test_folding_is_idempotent_and_the_same_in_parts(
    found: SagaDefinition, said: list[tuple[int, str]], cut: int, again: int
) -> None:
    story = recorded(found, said)
    whole = fold(found, story)
    now = initial(found)
    for item in (*story[:cut], *story[:again], *story[cut:], *story):
        if item.sequence <= now.sequence + 1:
            now = advance(found, now, item)
    assert now == whole


@settings(max_examples=300, deadline=None)
@given(
    found=st.sampled_from(CORPUS),
    said=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(KINDS)), max_size=20),
)
def test_an_end_is_final_whatever_comes_after(found: SagaDefinition, said: list[tuple[int, str]]) -> None:
    now = initial(found)
    for item in recorded(found, said):
        after = advance(found, now, item)
        if now.ended:
            assert after.status == now.status
            assert after.ended_sequence == now.ended_sequence
        now = after


def test_a_step_that_was_skipped_stays_so_when_a_slow_worker_starts_it() -> None:
    late = state("a.skipped", "a.started", "b.completed")
    assert late.steps["a"].status is StepStatus.SKIPPED
    assert late.steps["a"].open
    assert late.status is SagaStatus.COMPLETED


def test_a_late_wake_of_an_earlier_rest_does_not_end_the_wait_for_a_person() -> None:
    waiting = facts("a.started", "aborted", "a.compensation_failed")
    late = Recorded(5, simulated_fact(TWO.ref, "a", FactKind.WOKEN, note=(2,)))
    assert fold(TWO, [*waiting, late]).status is SagaStatus.WAITING
    answered = Recorded(5, simulated_fact(TWO.ref, "a", FactKind.WOKEN, note=(4,)))
    assert fold(TWO, [*waiting, answered]).status is SagaStatus.COMPENSATING
