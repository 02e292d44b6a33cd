"""Workflows as data are compiled to definitions; what cannot work is said with its place in the workflow."""

from typing import Any

import pytest

from contracts.checks import InvalidDefinition
from contracts.definition import SagaDefinition
from contracts.workflows import Compiled, compile_workflow, parse_workflow

FETCH = {"name": "fetch", "type": "HTTP_REQUEST", "input": {"url": "https://x.example/"}}


def workflow(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "test", "steps": list(steps), **fields}


def compiled(*steps: dict[str, Any], **fields: Any) -> Compiled:
    return compile_workflow(parse_workflow(workflow(*steps, **fields)), "3")


def problems(*steps: dict[str, Any], **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidDefinition) as caught:
        compiled(*steps, **fields)
    return {problem["pointer"]: problem["detail"] for problem in caught.value.problems}


def test_a_generic_step_uses_the_action_of_its_type() -> None:
    definition = compiled(
        FETCH, {"name": "own", "type": "ACTION", "action": "test.own", "after": ["fetch"]}
    ).definition
    assert definition.ref == "test@3"
    assert [step.action for step in definition.steps] == ["integrations.http_request", "test.own"]
    assert definition.steps[1].after == ("fetch",)


def test_wrong_fields_are_all_said_with_their_places() -> None:
    found = problems(
        FETCH | {"surprise": 1},
        {"name": "a", "type": "NOTHING"},
        {"name": "b", "type": "WAIT", "retry": {"kind": "fixed", "max_attempts": 0}},
        {"type": "WAIT"},
        colour="red",
    )
    assert found.keys() == {
        "/steps/0/surprise", "/steps/1", "/steps/2/retry/max_attempts", "/steps/3/name", "/colour",
    }  # fmt: skip


def test_what_cannot_work_is_all_said_with_its_place() -> None:
    found = problems(
        FETCH | {"input": {"url": "https://x.example/", "methd": "GET"}},
        {"name": "b", "type": "VALIDATION", "after": ["fetch"], "input": {"data": "${steps.fetch.boddy}"}},
    )
    assert found.keys() == {"/steps/0/input/methd", "/steps/1/input/data"}


def test_a_circle_and_names_that_are_not_there_are_refused() -> None:
    assert (
        "circle" in problems(FETCH | {"after": ["b"]}, {**FETCH, "name": "b", "after": ["fetch"]})["/steps"]
    )
    assert problems(FETCH | {"after": ["nobody"]}).keys() == {"/steps/0/after"}
    assert "two steps" in problems(FETCH, FETCH)["/steps"]


def test_references_to_the_input_are_held_against_its_schema() -> None:
    schema = {"type": "object", "properties": {"zip": {"type": "string"}}, "required": ["zip"]}
    fetch = FETCH | {"input": {"url": "https://x.example/", "query": {"zip": "${input.zap}"}}}
    assert problems(fetch, input_schema=schema).keys() == {"/steps/0/input/query/zip"}
    fetch["input"]["query"]["zip"] = "${input.zip}"
    assert compiled(fetch, input_schema=schema).definition.input_schema == schema


@pytest.mark.parametrize("schema", [
    {"$ref": "#/$defs/Missing"}, {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, {"type": ["object"]},
    {"properties": {"zip": True}}, {},
])  # fmt: skip
def test_a_schema_that_says_nothing_of_a_field_refuses_no_reference_to_it(schema: dict[str, Any]) -> None:
    assert isinstance(
        compiled(FETCH | {"input": {"url": "https://x.example/", "query": {"zip": "${input.zip}"}}},
                 input_schema=schema).definition,
        SagaDefinition,
    )  # fmt: skip
