"""Definitions from plain dictionaries: as written, or refused with every mistake and its place."""

from typing import Any

import pytest

from contracts.checks import InvalidDefinition
from saga.export.argo import export
from saga.from_steps import create_workflow_from_steps

STEPS: list[dict[str, Any]] = [
    {"name": "fetch", "processor": "integrations.http_request", "args": {"url": "${input.url}"},
     "env": {"SAGA_HTTP_ALLOW": "intranet:80"}},
    {"name": "shape", "processor": "integrations.data_transform", "dependencies": ["fetch"],
     "args": {"data": "${steps.fetch.body}", "operations": [{"op": "sort", "by": ["price"]}]}},
]  # fmt: skip


def test_plain_steps_become_a_definition() -> None:
    definition = create_workflow_from_steps(STEPS, name="prices")
    assert definition.ref == "prices@1"
    assert [(step.name, step.action, step.after) for step in definition.steps] == [
        ("fetch", "integrations.http_request", ()),
        ("shape", "integrations.data_transform", ("fetch",)),
    ]
    assert definition.step("fetch").input == {"url": "${input.url}"}


def test_the_environment_of_a_step_is_that_of_its_pods() -> None:
    templates = export(create_workflow_from_steps(STEPS), {}).manifest["spec"]["templates"]
    given = {
        one["name"]: {env["name"] for env in one["container"]["env"]}
        for one in templates
        if "container" in one
    }
    assert {name for name, env in given.items() if "SAGA_HTTP_ALLOW" in env} == {"do-fetch", "undo-fetch"}


@pytest.mark.parametrize(
    ("steps", "pointers"),
    [
        ([{"name": "a"}, {"processor": "x.y", "extra": 1}], {"/0/processor", "/1/name", "/1/extra"}),
        ([{**STEPS[0], "dependencies": ["gone"]}], {"/0/after"}),
        ([{**STEPS[0], "processor": "no_action"}], {"/0/action"}),
        ([STEPS[0], {**STEPS[1], "args": {"data": "${steps.shape.x}"}}], {"/1/input/data"}),
    ],
)
def test_every_mistake_is_told_with_its_place(steps: list[dict[str, Any]], pointers: set[str]) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        create_workflow_from_steps(steps)
    assert {problem["pointer"] for problem in caught.value.problems} == pointers
