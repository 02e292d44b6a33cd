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

    def fetch(field: str) -> dict[str, Any]:
        return FETCH | {"input": {"url": "https://x.example/", "query": {"zip": f"${{input.{field}}}"}}}

    assert problems(fetch("zap"), input_schema=schema).keys() == {"/steps/0/input/query/zip"}
    assert compiled(fetch("zip"), input_schema=schema).definition.input_schema == schema


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


def each(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": "each",
        "type": "FOR_EACH",
        "after": ["fetch"],
        "items": "${steps.fetch.body}",
        "do": body,
        **fields,
    }


POST = {
    "name": "post",
    "type": "HTTP_REQUEST",
    "input": {"url": "${item.url}", "body": {"zip": "{{lead.zip}}"}},
}


def test_a_body_becomes_a_definition_that_is_given_what_it_refers_to() -> None:
    body = {
        "steps": [POST | {"when": "item.up && input.lead.zip != 'input.x' && steps.fetch.status == 200"}],
        "output": "${steps.post.body} ${steps.fetch.headers.etag:-none}",
    }
    both = compiled(FETCH, each(body))
    (child,) = both.children
    assert (child.ref, list(child.by_name)) == ("test--each@3", ["post", "child_begin", "child_report"])
    post, _, report = child.steps
    assert post.after == ("child_begin",)
    assert post.input == {"url": "${input.item.url}", "body": {"zip": "${input.shared.input.lead.zip}"}}
    assert post.when == (
        "input.item.up && input.shared.input.lead.zip != 'input.x' && input.shared.steps.fetch.status == 200"
    )
    assert report.after == ("post",)
    assert report.input == {"output": "${steps.post.body} ${input.shared.steps.fetch.headers.etag:-none}"}
    assert both.definition.by_name["each"].input["shared"] == {
        "input": {"lead": {"zip": "${input.lead.zip}"}},
        "steps": {
            "fetch": {
                "status": "${steps.fetch.status}",
                "headers": {"etag": "${steps.fetch.headers.etag:-null}"},
            }
        },
    }


def test_what_cannot_work_in_a_body_is_said_with_its_place() -> None:
    wrong = {"name": "post", "type": "HTTP_REQUEST", "input": {"url": "https://x.example/", "methd": "GET"}}
    assert problems(FETCH, each({"steps": [wrong]})).keys() == {"/steps/1/do/steps/0/input/methd"}
    assert problems(FETCH, each({"steps": [POST], "output": "${steps.post.boddy}"})).keys() == {
        "/steps/1/do/output"
    }
    assert problems(FETCH, each({"steps": [POST], "output": "${steps.nobody.x}"})).keys() == {"/steps/1/do"}
    assert problems(FETCH, each({"steps": [POST]}, items="${steps.fetch.boddy}")).keys() == {"/steps/1/items"}
    assert problems(FETCH, each({"steps": [POST]}, limit=0)).keys() == {"/steps/1/limit"}
    outside = {"name": "wait", "type": "WAIT", "input": {"until": "${item.at}"}}
    assert problems(outside).keys() == {"/steps/0/input/until"}


def test_a_step_must_not_be_named_as_those_around_a_body() -> None:
    assert (
        "two steps" in problems(FETCH, each({"steps": [POST | {"name": "child_begin"}]}))["/steps/1/do/steps"]
    )


def test_a_child_must_be_a_definition_that_is_there() -> None:
    step = {"name": "sub", "type": "CHILD", "definition": "nothing@1"}
    assert problems(step) == {"/steps/0/definition": "no definition nothing@1"}


def test_bodies_are_not_nested_without_end() -> None:
    body: dict[str, Any] = {"steps": [{"name": "w", "type": "WAIT", "input": {"for_s": 1}}]}
    for _ in range(5):
        body = {"steps": [{"name": "each", "type": "FOR_EACH", "items": [1], "do": body}]}
    assert any(detail.endswith("at most 4 deep") for detail in problems(*body["steps"]).values())


def test_what_is_given_whole_is_not_given_in_parts() -> None:
    body = {"steps": [POST | {"input": {"url": "${item}", "body": ["${input.lead}", "${input.lead.zip}"]}}]}
    assert compiled(FETCH, each(body)).definition.by_name["each"].input["shared"] == {
        "input": {"lead": "${input.lead}"}
    }
