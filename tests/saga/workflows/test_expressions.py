"""Expressions and schemas inside of steps are judged as far as they are written out."""

from typing import Any

import pytest

from contracts.workflows import GenericStep
from saga.workflows.expressions import expression_problems


def problems(kind: str, **input: Any) -> list[str]:
    step = GenericStep.model_validate({"name": "a", "type": kind, "input": input})
    return sorted(problem.pointer for problem in expression_problems(step))


def test_every_wrong_expression_of_a_transformation_is_found() -> None:
    operations = [
        {"op": "filter", "where": "item >"},
        {"op": "map", "to": "{'a': item.a"},
        {"op": "calculate", "fields": {"a/b": "1 +", "good": "item.x * 2", "n": 1}},
        {"op": "sort", "by": ["item >"]},
        {"op": "format", "fields": {"a": "item >"}},
        {"op": "filter", "where": "item.x > 1 && size(data) < 5"},
        "nothing",
    ]
    assert problems("DATA_TRANSFORM", data=[], operations=operations) == [
        "/input/operations/0/where",
        "/input/operations/1/to",
        "/input/operations/2/fields/a~1b",
    ]


def test_conditions_are_found_in_their_trees() -> None:
    tree = {
        "all": ["data.a == 1", {"any": ["data >", {"not": {"not": "nobody.x"}}]}, {"field": "/a", "is": "eq"}]
    }
    branches = [{"name": "x", "when": tree}, {"name": "y", "when": "true"}]
    assert problems("CONDITIONAL", data={}, branches=branches) == [
        "/input/branches/0/when/all/1/any/0",
        "/input/branches/0/when/all/1/any/1/not/not",
    ]


def test_schema_and_rules_of_a_validation_are_judged() -> None:
    rules = [{"name": "a", "holds": "data.x ==", "message": "m"}]
    assert problems("VALIDATION", data={}, schema={"type": "nothing"}, rules=rules) == [
        "/input/rules/0/holds",
        "/input/schema",
    ]


@pytest.mark.parametrize(
    ("kind", "input"),
    [
        ("DATA_TRANSFORM", {"data": [], "operations": [{"op": "filter", "where": "item > ${input.low}"}]}),
        ("DATA_TRANSFORM", {"data": [], "operations": "${input.operations}"}),
        ("DATA_TRANSFORM", {"data": [], "operations": [{"op": "filter", "where": "item == '$${x}'"}]}),
        ("VALIDATION", {"data": {}, "schema": "${input.schema}"}),
        ("VALIDATION", {"data": {}, "schema": {"type": "${input.kind}"}, "rules": {"holds": 1}}),
        ("CONDITIONAL", {"data": {}, "branches": [{"name": "a", "when": 7}]}),
        ("WAIT", {"for_s": 1}),
    ],
)
def test_nothing_is_said_of_what_is_decided_at_run_time_or_wrong_otherwise(kind: str, input: Any) -> None:
    assert problems(kind, **input) == []
