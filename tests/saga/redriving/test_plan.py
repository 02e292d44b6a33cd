"""What a redrive runs again and what it takes over, for whatever way a saga can have ended."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import STARTED_KEY
from contracts.failure import Conflict
from saga.redriving.plan import Plan, merged, plan, taken_over_facts
from saga.scope import carry
from saga.simulate import Walked
from saga.state import StepStatus
from tests.model.test_walks import SEEDS, definitions, walked


def planned(definition: SagaDefinition, end: Walked, *from_steps: str) -> Plan | None:
    try:
        return plan(definition, end.facts, {}, from_steps)
    except Conflict:
        return None


@settings(max_examples=300, deadline=None)
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


@settings(max_examples=200, deadline=None)
@given(definition=definitions(), seed=SEEDS)
def test_without_a_choice_a_redrive_begins_where_it_must(definition: SagaDefinition, seed: int) -> None:
    end = walked(definition, seed)
    found = planned(definition, end)
    assume(found is not None)
    assert found is not None
    stands = (StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.FAILED)
    assert all(end.state.steps[name].status not in stands[:2] for name in found.from_steps)
    assert found.from_steps, "a saga that failed has something to run again"


@settings(max_examples=200, deadline=None)
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
    definition = SagaDefinition(name="one", steps=(Step(name="a", action="simulated.a"),))
    cut_off = [one for one in walked(definition, 1).facts if one.fact.key != STARTED_KEY]
    with pytest.raises(Conflict, match="its start is no longer kept"):
        plan(definition, cut_off, {})
