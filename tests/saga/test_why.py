"""Every saga that has not ended hangs on a step, and every step can say why it stands where it stands."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import Recorded
from contracts.failure import InvalidContract
from contracts.subjects import SAGA_STEP
from saga.listening import Presence
from saga.simulate import HARDEST, walk
from saga.simulate.corpus import CORPUS, definition
from saga.simulate.stream import simulated_fact
from saga.state import fold
from saga.why import SETTLED, Around, Standing, Why, fronts, why

JOIN = definition("join", {"a": "", "b": "", "c": "a b", "d": "c"})
NOW = simulated_fact(JOIN.ref, SAGA_STEP, "started").time + timedelta(hours=3)
AROUND = Around(now=NOW)
WHO: dict[str, Any] = {"by": "ada", "reason": "the bank has called"}
PEOPLE = replace(HARDEST, pauses=1, wishes=2, parks=True)


def told(*said: str, of: SagaDefinition = JOIN, **data: Any) -> list[Recorded]:
    """`started`, `a.completed`, ...; `data` goes with the last of them."""
    facts = []
    for sequence, text in enumerate(said, 1):
        name, _, effect = text.partition("/")
        step, _, kind = name.rpartition(".")
        fact = simulated_fact(of.ref, step or SAGA_STEP, kind, effect)
        more = data if sequence == len(said) else {}
        facts.append(Recorded(sequence, fact.model_copy(update={"data": fact.data | more})))
    return facts


def first(found: list[Why]) -> tuple[Standing, str]:
    return found[0].standing, "; ".join(found[0].sentences)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(CORPUS), st.integers(0, 2**32))
def test_whatever_happens_a_saga_that_goes_on_hangs_on_a_step_that_says_why(
    of: SagaDefinition, seed: int
) -> None:
    facts = walk(of, Random(seed).randrange, faults=PEOPLE).facts
    for length in range(1, len(facts) + 1):
        part = facts[:length]
        hangs_on = fronts(of, part, AROUND)
        assert bool(hangs_on) != fold(of, part).ended
        for step in of.steps:
            asked, *others = why(of, part, step.name, AROUND)
            assert asked.sentences
            assert set(asked.waits_for) <= {one.step for one in others}
            if asked.standing is Standing.WAITS_FOR_STEPS:
                assert {one.step for one in others} & {one.step for one in hangs_on}


def test_a_step_that_waits_leads_to_the_one_that_everybody_waits_for() -> None:
    found = why(JOIN, told("started", "a.completed", "b.started"), "d", AROUND)
    assert [(one.step, one.standing) for one in found] == [
        ("d", Standing.WAITS_FOR_STEPS),
        ("c", Standing.WAITS_FOR_STEPS),
        ("b", Standing.UNDER_WAY),
    ]
    assert found[1].sentences == ("it waits for b.completed or b.skipped, which simulated.b should state",)
    assert found[2].since == NOW - timedelta(hours=3)


def test_a_step_that_is_due_tells_who_should_do_it_and_whether_anybody_does() -> None:
    facts = told("started", "a.completed", "b.completed")
    standing, text = first(why(JOIN, facts, "c", AROUND))
    assert standing is Standing.DUE
    assert "it is due since b.completed (#3)" in text
    assert "nobody has ever served simulated.c" in text
    away = replace(AROUND, present={"simulated.c": Presence(alive=False, pending=4)})
    assert "nobody serves simulated.c now; 4 messages wait" in first(why(JOIN, facts, "c", away))[1]
    busy = Around(now=NOW, present={"simulated.c": Presence(alive=True)}, open_breakers=("operator.mpesa",))
    assert (
        "open breakers, any of which it may be waiting for: operator.mpesa"
        in first(why(JOIN, facts, "c", busy))[1]
    )


def test_what_is_done_says_which_fact_made_it_due() -> None:
    facts = told("started", "a.completed", "b.completed", "c.completed")
    standing, text = first(why(JOIN, facts, "c", AROUND))
    assert standing is Standing.DONE
    assert "it became due with b.completed (#3), the last fact that it needed" in text
    skipped = told("started", "a.skipped", reason="condition is false: input.n > 1")
    assert "condition is false: input.n > 1 (#2)" in first(why(JOIN, skipped, "a", AROUND))[1]


def test_a_rest_says_what_ends_it() -> None:
    again: dict[str, Any] = {
        "not_before": (NOW + timedelta(minutes=5)).isoformat(),
        "delay_s": 300.0,
        "parked": True,
    }
    facts = told("started", "a.attempt_failed/none", **again)
    (waiting,) = why(JOIN, facts, "a", AROUND)
    assert (waiting.standing, waiting.until) == (Standing.WAITS_FOR_TIME, NOW + timedelta(minutes=5))
    assert "that is in 5 minutes" in waiting.sentences
    later = replace(AROUND, now=NOW + timedelta(hours=1))
    assert first(why(JOIN, facts, "a", later))[0] is Standing.DUE
    signal = told("started", "a.suspended", signal=True)
    standing, text = first(why(JOIN, signal, "a", AROUND))
    assert (standing, "`saga signal`" in text) == (Standing.WAITS_FOR_SIGNAL, True)
    paused = told("started", "paused", "a.held", **WHO)
    paused[1].fact.data.update(WHO)
    standing, text = first(why(JOIN, paused, "a", AROUND))
    assert (standing, "ada has paused the saga: the bank has called" in text) == (Standing.PAUSED, True)


def test_what_was_undone_says_what_turned_the_saga_round_and_what_it_waited_for() -> None:
    begun = ("started", "a.started", "b.started", "a.completed", "b.completed", "c.started", "c.failed/none")
    aborted = told(*begun, "aborted", cause="step", step="c")
    assert [one.step for one in why(JOIN, aborted, "a", AROUND)] == ["a", "c"]
    assert "its undo waits until c are closed" in first(why(JOIN, aborted, "a", AROUND))[1]
    assert first(why(JOIN, aborted, "d", AROUND))[0] is Standing.NEVER
    closed = [
        *aborted,
        *told(*begun, "x", "c.stood_down")[-1:],
        *told(*begun, "x", "y", "b.compensated")[-1:],
    ]
    standing, text = first(why(JOIN, closed, "b", AROUND))
    assert standing is Standing.UNDONE
    assert "the saga turned round, because c failed (#8); b was undone (#10)" in text
    assert "the last of them, c, closed with #9" in text


def test_an_undo_that_was_given_up_needs_a_person() -> None:
    facts = told("started", "a.started", "a.completed", "aborted", "a.compensation_failed/none")
    standing, text = first(why(JOIN, facts, "a", AROUND))
    assert standing is Standing.NEEDS_A_PERSON
    assert "`saga retry` tries the undo again" in text
    assert [one.step for one in fronts(JOIN, facts, AROUND)] == ["a"]


def test_a_failure_behind_the_pivot_needs_a_person() -> None:
    two = SagaDefinition(
        name="two",
        steps=(
            Step(name="a", action="t.a", pivot=True),
            Step(name="b", action="t.b", after=("a",)),
            Step(name="c", action="t.c", after=("a",)),
        ),
    )
    facts = told("started", "a.completed", "b.failed/none", of=two)
    assert {one.step: one.standing for one in fronts(two, facts, AROUND)} == {
        "b": Standing.NEEDS_A_PERSON,
        "c": Standing.DUE,
    }


def test_a_step_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidContract, match="has no step 'z': it has a, b, c, d"):
        why(JOIN, told("started"), "z", AROUND)
    assert Standing.DUE not in SETTLED
