"""What a redrive runs again and what it takes over, for whatever way a saga can have ended."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Recorded
from contracts.failure import Conflict
from saga.redriving.plan import Plan, merged, plan, taken_over_facts
from saga.scope import carry
from saga.simulate import Faults, Walked
from saga.simulate.corpus import definition as shaped
from saga.state import StepStatus
from tests.model.test_walks import SEEDS, definitions
from tests.model.test_walks import walked as walked_with
from tests.saga.test_replay import facts

FAULTS = Faults(retries=True, undo_failures=True)


def walked(definition: SagaDefinition, seed: int) -> Walked:
    return walked_with(definition, seed, FAULTS)


def planned(definition: SagaDefinition, end: Walked, *from_steps: str) -> Plan | None:
    try:
        return plan(definition, end.facts, {}, from_steps)
    except Conflict:
        return None


@settings(max_examples=150, deadline=None)
@given(definition=definitions(), seed=SEEDS, data=st.data())
def test_no_effect_that_stands_happens_again_and_none_that_is_needed_is_missing(
    definition: SagaDefinition, seed: int, data: st.DataObject
) -> None:
    end = walked(definition, seed)
    chosen = data.draw(st.lists(st.sampled_from(sorted(definition.by_name)), max_size=2))
    found = planned(definition, end, *chosen)
    assume(found is not None)
    assert found is not None
    assert {*found.again, *found.taken_over} == set(definition.by_name)
    assert set(chosen) <= set(found.again)
    for name in found.taken_over:
        assert definition.graph.ancestors[name] <= set(found.taken_over)
        if end.state.steps[name].status is StepStatus.COMPLETED:
            assert end.effects[name].live
    for name in found.again:
        step = end.state.steps[name]
        if step.opened and name not in chosen and step.status is not StepStatus.FAILED:
            assert not end.effects[name].live, f"{name} would happen twice"


@settings(max_examples=100, deadline=None)
@given(definition=definitions(), seed=SEEDS)
def test_without_a_choice_a_redrive_begins_where_it_must(definition: SagaDefinition, seed: int) -> None:
    end = walked(definition, seed)
    found = planned(definition, end)
    assume(found is not None)
    assert found is not None
    stands = (StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.FAILED)
    assert all(end.state.steps[name].status not in stands[:2] for name in found.from_steps)
    assert found.from_steps, "a saga that failed has something to run again"


@settings(max_examples=100, deadline=None)
@given(definition=definitions(), seed=SEEDS)
def test_what_is_taken_over_carries_what_it_carried(definition: SagaDefinition, seed: int) -> None:
    end = walked(definition, seed)
    found = planned(definition, end)
    assume(found is not None)
    assert found is not None
    old = {recorded.fact.key: recorded.fact.data for recorded in end.facts}
    told = taken_over_facts(found, end.facts)
    assert [name for name, _, _ in told] == list(found.taken_over)
    for name, kind, data in told:
        assert data["carried"] == carry(definition, name, {"input": {}, "steps": {}})
        assert data.get("output") == old[name, kind].get("output")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(before=JSON, patch=JSON)
def test_a_merge_patch_is_that_of_the_rfc(before: Any, patch: Any) -> None:
    after = merged(before, patch)
    assert merged(after, patch) == after
    if not isinstance(patch, dict):
        assert after == patch
        return
    for name, value in patch.items():
        if value is None:
            assert name not in after
        elif not isinstance(value, dict):
            assert after[name] == value
    if isinstance(before, dict):
        assert all(after[name] == value for name, value in before.items() if name not in patch)


def test_a_saga_whose_start_is_no_longer_kept_cannot_be_redriven() -> None:
    definition = shaped("one", {"a": ""})
    cut_off = [one for one in walked(definition, 1).facts if one.fact.key != STARTED_KEY]
    with pytest.raises(Conflict, match="its start is no longer kept"):
        plan(definition, cut_off, {})


TWO = shaped("two", {"a": "", "b": "a"})
FAILED = ("a.started", "a.completed", "b.started", "b.failed/none", "aborted", "b.stood_down")


def test_a_child_is_not_redriven_but_its_parent() -> None:
    started, *others = facts("started", *FAILED, "a.compensated", of=TWO)
    labelled = {**started.fact.data, "labels": {"parent": "s-1"}}
    child = Recorded(1, started.fact.model_copy(update={"data": labelled}))
    with pytest.raises(Conflict, match="is a child of saga s-1"):
        plan(TWO, [child, *others], {})
    assert plan(TWO, [started, *others], {}).from_steps == ("a",)


def test_where_an_undo_was_given_up_a_person_must_decide_what_stands() -> None:
    given_up = facts("started", *FAILED, "a.compensation_failed", "a.compensation_skipped", of=TWO)
    with pytest.raises(Conflict, match="the undo of a was given up"):
        plan(TWO, given_up, {})


def test_what_does_not_stand_beside_the_chosen_step_runs_again_too() -> None:
    branches = shaped("branches", {"a": "", "b": "", "c": "a", "d": "b"})
    ended = facts("started", "a.completed", "b.completed", "c.failed/none", "aborted", of=branches)
    found = plan(branches, ended, {}, ["c"])
    assert (found.from_steps, found.taken_over, found.again) == (("c", "d"), ("a", "b"), ("c", "d"))


def test_a_pivot_without_an_undo_never_runs_again() -> None:
    pivot = shaped("pivot", {"a": "", "b": "a"}, a={"pivot": True})
    ended = facts("started", "a.completed", "b.failed/none", of=pivot)
    with pytest.raises(Conflict, match="a would run again, and it is the pivot"):
        plan(pivot, ended, {}, ["a"])
    assert plan(pivot, ended, {}).taken_over == ("a",)


def test_what_later_steps_need_is_carried_by_what_was_taken_over() -> None:
    needed = {"input": {"rate": "${steps.a.rate}", "note": "${input.note}"}}
    chain = shaped("chain", {"a": "", "b": "a", "c": "b"}, c=needed)
    ended = facts("started", "a.completed", "b.completed", "c.failed/none", "aborted", of=chain)
    ended[0] = Recorded(1, ended[0].fact.model_copy(update={"data": {"input": {"note": "old"}}}))
    ended[1] = Recorded(2, ended[1].fact.model_copy(update={"data": {"output": {"rate": 7}}}))
    found = plan(chain, ended, {"note": "new"})
    told = {name: data["carried"] for name, _, data in taken_over_facts(found, ended)}
    assert told["b"] == {"input": {"note": "new"}, "steps": {"a": {"rate": 7}}}
