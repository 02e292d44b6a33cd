"""Definitions: all that is wrong is said at once, with its place; the same content has the same hash."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.failure import InvalidContract
from contracts.retries import FixedRetry


def step(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "action": f"test.{name.lower()}", "after": after, **fields}


def made(*steps: dict[str, Any], **fields: Any) -> SagaDefinition:
    return SagaDefinition.model_validate({"name": "test", "steps": steps, **fields})


def problems(*steps: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        made(*steps)
    return str(caught.value)


def test_all_problems_are_said_at_once() -> None:
    text = problems(step("a", "x"), step("a", pivot=True), step("b", pivot=True, input={"y": "${input}"}))
    assert "/steps: two steps are named 'a'" in text
    assert "/steps/0/after: no step 'x'" in text
    assert "only one step can be the pivot" in text
    assert "/steps/2/input" in text


def test_a_circle_is_shown() -> None:
    assert "circle: a -> b -> a" in problems(step("a", "b"), step("b", "a")).replace(
        "b -> a -> b", "a -> b -> a"
    )
    assert "circle" in problems(step("a", "a"))


def test_a_reference_must_be_to_a_step_before() -> None:
    later = step("a", input={"x": "${steps.b.y}"})
    assert "which is not before 'a'" in problems(later, step("b", "a"))
    assert "which is not before 'a'" in problems(later, step("b"))
    assert "which is not before 'a'" in problems(step("a", when="steps.z.y == 1"))
    made(step("b"), step("c", "b"), step("a", "c", input={"x": "${steps.b.y}"}))


@pytest.mark.parametrize("fields", [
    {"name": "_saga"}, {"name": "a.b"}, {"name": "9"}, {"action": "noverb"}, {"action": "Test.a"}, {"timeout_s": 0},
    {"on_error": "ignore"}, {"surprise": 1}, {"retry": {"kind": "fixed", "max_attempts": 0}},
])  # fmt: skip
def test_a_step_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Step.model_validate(step("a") | fields)


@pytest.mark.parametrize("fields", [
    {"name": "a.b"}, {"version": "a b"}, {"version": ""}, {"deadline_s": 0}, {"steps": ()}, {"surprise": 1},
])  # fmt: skip
def test_a_definition_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SagaDefinition.model_validate({"name": "test", "steps": [step("a")]} | fields)


def test_a_step_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InvalidContract, match="no step 'x': it has a, b"):
        made(step("a"), step("b")).step("x")


def test_the_hash_is_of_the_content_alone() -> None:
    one = made(step("a", input={"x": 1, "y": 2}, retry={"kind": "fixed", "delay_s": 2}))
    other = made(step("a", input={"y": 2, "x": 1}, retry=FixedRetry(delay_s=2).model_dump()), version="1")
    assert one.content_hash == other.content_hash
    assert one.content_hash != made(step("a", input={"x": 1, "y": 3})).content_hash


NAMES = [f"s{number}" for number in range(8)]


@st.composite
def dags(draw: st.DrawFn) -> SagaDefinition:
    steps = []
    for index, name in enumerate(NAMES[: draw(st.integers(1, 8))]):
        before = draw(st.sets(st.sampled_from(NAMES[:index]))) if index else set[str]()
        steps.append(step(name, *sorted(before), compensate=draw(st.booleans())))
    return made(*draw(st.permutations(steps)))


@settings(deadline=None)
@given(found=dags())
def test_json_gives_the_same_definition_back(found: SagaDefinition) -> None:
    again = SagaDefinition.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.content_hash == found.content_hash


@settings(deadline=None)
@given(found=dags())
def test_the_graph_agrees_with_itself(found: SagaDefinition) -> None:
    graph = found.graph
    assert graph.cycle == []
    assert sorted(graph.order) == sorted(found.by_name)
    place = {name: index for index, name in enumerate(graph.order)}
    for name in found.by_name:
        assert (name in graph.roots) == (not graph.predecessors[name])
        assert all(place[before] < place[name] for before in graph.predecessors[name])
        assert all(name in graph.predecessors[later] for later in graph.successors[name])
        assert name not in graph.ancestors[name]
        assert all(name in graph.descendants[earlier] for earlier in graph.ancestors[name])
        assert set(graph.predecessors[name]) <= graph.ancestors[name]


def test_what_later_steps_refer_to_is_carried_until_the_last_of_them() -> None:
    found = made(
        step("a"), step("b", "a"), step("c", "b", when="input.big"), step("d", "c", input={"x": "${steps.a.y.z}"})
    )  # fmt: skip
    carried = found.graph.carried
    assert carried["a"].steps == {}
    assert carried["b"].steps == carried["c"].steps == {"a": frozenset({"y"})}
    assert carried["b"].input == frozenset({"big"})
    assert carried["c"].input == carried["d"].input == frozenset()
