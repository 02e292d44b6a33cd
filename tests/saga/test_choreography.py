"""The rules of one step, given its facts: who runs it, who skips it, who undoes it, and who leaves it alone."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKey, FactKind, Recorded
from contracts.failure import Failure, InvalidContract
from contracts.subjects import SAGA_STEP
from saga.choreography import decide, heard_by, may_abort
from saga.decisions import Compensate, Decision, Ignore, Run, Skip, StandDown, Trigger, Wait
from saga.rests import rests
from saga.scope import carry
from saga.simulate.corpus import CORPUS, definition
from saga.simulate.stream import UNDO_ATTEMPT, simulated_fact

JOIN = definition("join", {"a": "", "b": "", "c": "a b", "d": "c"})
REFUSED = Failure(code="simulated.refused", message="no", effect="none")
UNKNOWN = Failure(code="simulated.timeout", message="no answer", effect="unknown")


def story(*said: str, of: SagaDefinition = JOIN) -> dict[FactKey, Recorded]:
    """Facts by key, in this order: `started`, `aborted`, `a.completed`, `a.failed/unknown`, ..."""
    facts = {}
    for sequence, text in enumerate(("started", *said), 1):
        name, _, effect = text.partition("/")
        step, _, kind = name.rpartition(".")
        fact = simulated_fact(of.ref, step or SAGA_STEP, kind, effect)
        facts[fact.key] = Recorded(sequence, fact)
    return facts


def decided(
    step: str, *said: str, on: str, of: SagaDefinition = JOIN, refused: Failure | None = None
) -> Decision:
    facts = story(*said, of=of)
    name, _, kind = on.rpartition(".")
    key = (name or SAGA_STEP, kind)
    return decide(of, step, facts, Trigger(sequence=facts[key].sequence, key=key, refused=refused))


def test_a_first_step_runs_on_the_start() -> None:
    assert decided("a", on="started") == Run(scope={"input": {}, "steps": {}})


def test_a_join_runs_on_the_last_of_its_facts_only() -> None:
    assert isinstance(decided("c", "a.completed", on="a.completed"), Wait)
    assert isinstance(decided("c", "a.completed", "b.completed", on="a.completed"), Wait)
    assert isinstance(decided("c", "a.completed", "b.completed", on="b.completed"), Run)


def test_a_step_that_has_spoken_never_runs_again() -> None:
    for said in ("c.completed", "c.skipped", "c.failed/none"):
        assert isinstance(decided("c", "a.completed", "b.completed", said, on="b.completed"), Ignore)


def test_the_delivery_that_ran_a_step_resumes_it() -> None:
    facts = ("a.completed", "b.completed", "c.started")
    assert decided("c", *facts, on="b.completed") == Run(
        scope={"input": {}, "steps": {"a": {}, "b": {}}}, resumed=True
    )
    assert isinstance(decided("c", *facts, on="a.completed"), Wait)


def test_a_join_resumes_when_the_server_forgot_that_it_delivered_its_last_fact() -> None:
    # Regression: a killed server counted the redelivery as a first one, the join said "already running"
    # and acknowledged, and the saga was stuck.
    facts = story("a.completed", "b.completed", "c.started")
    trigger = Trigger(sequence=3, key=("b", FactKind.COMPLETED), owner=False)
    assert isinstance(decide(JOIN, "c", facts, trigger), Run)


def test_a_cause_that_only_waited_does_not_undo_a_step_that_is_running() -> None:
    # Regression: the redelivery of a join's first cause undid the step under its living worker.
    facts = story("a.completed", "b.completed", "c.started", "aborted")
    first = Trigger(sequence=2, key=("a", FactKind.COMPLETED), owner=True)
    last = Trigger(sequence=3, key=("b", FactKind.COMPLETED), owner=False)
    assert isinstance(decide(JOIN, "c", facts, first), Ignore)
    assert isinstance(decide(JOIN, "c", facts, last), Compensate)


def test_an_abort_stored_after_the_last_step_completed_undoes_nothing() -> None:
    # Regression: a cancel or deadline raced with the last step; the saga was completed, and undone.
    two = definition("two", {"a": "", "b": "a"})
    said = ("a.started", "a.completed", "b.started", "b.completed", "aborted")
    assert isinstance(decided("b", *said, on="aborted", of=two), Ignore)
    assert not may_abort(two, story(*said[:-1], of=two))


def test_a_condition_decides_once() -> None:
    conditional = SagaDefinition(
        name="conditional", steps=(Step(name="a", action="simulated.a", when="input.big == true"),)
    )
    facts = story(of=conditional)
    facts[SAGA_STEP, "started"].fact.data["input"] = {"big": False}
    trigger = Trigger(sequence=1, key=(SAGA_STEP, FactKind.STARTED))
    assert isinstance(decide(conditional, "a", facts, trigger), Skip)
    assert isinstance(decide(conditional, "a", facts, trigger, lambda *_: True), Run)
    started = {**facts, **story("a.started", of=conditional)}
    assert isinstance(decide(conditional, "a", started, trigger, lambda *_: False), Run)


def test_a_condition_that_cannot_be_evaluated_is_no_answer() -> None:
    broken = SagaDefinition(
        name="broken", steps=(Step(name="a", action="simulated.a", when="input.missing"),)
    )
    with pytest.raises(InvalidContract):
        decided("a", on="started", of=broken)


def test_a_failure_that_may_continue_lets_the_next_step_run() -> None:
    continues = definition("continues", {"a": "", "b": "a"}, a={"on_error": "continue"})
    assert isinstance(decided("b", "a.failed/unknown", on="a.failed", of=continues), Run)
    stops = definition("stops", {"a": "", "b": "a"})
    assert isinstance(decided("b", "a.failed/unknown", on="a.failed", of=stops), Ignore)


WAVE = ("a.started", "a.completed", "b.started", "b.completed", "c.started", "c.completed", "aborted")


def test_the_last_step_is_undone_first() -> None:
    assert isinstance(decided("a", *WAVE, on="aborted"), Wait)
    assert isinstance(decided("c", *WAVE, on="aborted"), Compensate)
    assert isinstance(decided("a", *WAVE, "c.compensated", on="aborted"), Wait)
    assert isinstance(decided("a", *WAVE, "c.compensated", on="c.compensated"), Compensate)
    assert isinstance(decided("b", *WAVE, "c.stood_down", on="c.stood_down"), Compensate)


def test_a_step_closes_once() -> None:
    assert isinstance(decided("c", *WAVE, "c.compensated", on="aborted"), Ignore)
    assert isinstance(decided("c", *WAVE, "c.stood_down", on="aborted"), Ignore)


def test_a_step_that_never_started_has_nothing_to_undo() -> None:
    assert isinstance(decided("d", *WAVE, on="aborted"), Ignore)
    assert isinstance(decided("d", *WAVE, on="c.completed"), Ignore)


def test_a_step_in_flight_is_never_assumed_dead() -> None:
    flying = ("a.started", "a.completed", "b.completed", "c.started", "aborted")
    assert isinstance(decided("c", *flying, on="aborted"), Ignore)
    assert isinstance(decided("a", *flying, on="aborted"), Wait)


def test_a_refusal_stands_down_and_an_unknown_effect_is_undone() -> None:
    flying = ("a.completed", "b.completed", "c.started", "aborted")
    assert decided("c", *flying, on="b.completed", refused=REFUSED) == StandDown("simulated.refused")
    assert decided("c", *flying, on="b.completed", refused=UNKNOWN) == Compensate(input={}, output=None)
    failed = ("a.completed", "b.completed", "c.started", "c.failed/{}", "aborted")
    assert isinstance(decided("c", *(said.format("none") for said in failed), on="aborted"), StandDown)
    assert isinstance(decided("c", *(said.format("unknown") for said in failed), on="aborted"), Compensate)


def test_an_undo_knows_the_output_if_there_was_one() -> None:
    assert decided("c", *WAVE, on="aborted") == Compensate(input={}, output={})


def test_a_failed_compensation_waits_for_a_person() -> None:
    assert isinstance(decided("c", *WAVE, "c.compensation_failed", on="aborted"), Wait)


def test_a_saga_past_its_pivot_cannot_be_aborted() -> None:
    pivot = definition("pivot", {"a": "", "b": "a"}, a={"pivot": True})
    assert may_abort(pivot, story("a.started", of=pivot))
    assert not may_abort(pivot, story("a.completed", of=pivot))
    assert not may_abort(pivot, story("aborted", of=pivot))


def test_a_fact_carries_what_later_steps_need_and_no_more() -> None:
    chain = SagaDefinition(
        name="chain",
        steps=(
            Step(name="a", action="simulated.a"),
            Step(name="b", action="simulated.b", after=("a",)),
            Step(
                name="c", action="simulated.c", after=("b",),
                input={"x": "${steps.a.x}", "y": "${input.y}", "z": "${steps.b.z}"},
            ),
        ),
    )  # fmt: skip
    scope = {"input": {"y": 1, "n": 2}, "steps": {"a": {"x": 3, "n": 4}}}
    assert carry(chain, "b", scope) == {"input": {"y": 1}, "steps": {"a": {"x": 3}}}
    assert carry(chain, "c", scope) == {"input": {}, "steps": {}}


@pytest.mark.parametrize("order", list(permutations(("a.completed", "b.skipped"))))
def test_exactly_one_delivery_of_a_join_runs_it(order: tuple[str, ...]) -> None:
    runs = [on for on in order if isinstance(decided("c", *order, on=on), Run)]
    assert runs == [order[-1]]


KINDS = sorted(set(FactKind))


@settings(max_examples=300, deadline=None)
@given(
    found=st.sampled_from(CORPUS),
    said=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(KINDS)), max_size=12),
    data=st.data(),
)
def test_deciding_is_deterministic_and_total(
    found: SagaDefinition, said: list[tuple[int, FactKind]], data: st.DataObject
) -> None:
    """Whatever is in the stream, however senseless: an answer, always the same one."""
    names = list(found.by_name)
    texts = [
        "aborted" if index == 0 else f"{names[index % len(names)]}.{kind}/none"
        for index, kind in said
    ]  # fmt: skip
    facts = story(*texts, of=found)
    step = data.draw(st.sampled_from(names))
    heard = [key for key in facts if key in heard_by(found, step)]
    for key in heard:
        trigger = Trigger(
            sequence=facts[key].sequence, key=key, refused=data.draw(st.sampled_from([None, REFUSED]))
        )
        answers: list[Any] = [decide(found, step, facts, trigger) for _ in range(2)]
        assert answers[0] == answers[1]


def woken_late(*said: str, rest: int, parked: bool = False) -> dict[FactKey, Recorded]:
    """A story of two steps and, as its last fact, the wake of a rest it was in before."""
    one = definition("two", {"a": "", "b": "a"})
    facts = story(*said, of=one)
    if parked:
        undo = simulated_fact(one.ref, "a", UNDO_ATTEMPT, "unknown", (5, 1))
        facts[undo.key] = Recorded(len(said) + 2, undo)
    wake = simulated_fact(one.ref, "a", FactKind.WOKEN, note=(rest,))
    facts[wake.key] = Recorded(len(said) + 2 + parked, wake)
    return facts


def test_a_step_that_is_woken_to_go_forward_just_after_the_abort_is_undone_by_the_abort() -> None:
    # Regression: the wake counted as work on the undo, and when its delivery had to wait, nobody undid the step.
    facts = woken_late("a.held", "a.started", "a.completed", "aborted", rest=2)
    abort = Trigger(sequence=5, key=(SAGA_STEP, FactKind.ABORTED))
    assert isinstance(decide(definition("two", {"a": "", "b": "a"}), "a", facts, abort), Compensate)


def test_a_late_wake_does_not_end_the_rest_of_a_parked_undo() -> None:
    # Regression: the timer of the parked undo then found nothing at rest, and the saga was stuck.
    facts = woken_late("a.held", "a.started", "a.completed", "aborted", rest=2, parked=True)
    assert rests(facts, "a", undoing=True) == facts["a", FactKind.ATTEMPT_FAILED]
