"""Templates: parameters go where they belong, with their type; what was not given is left out."""

from typing import Any

import pytest
import yaml

from contracts.failure import InvalidContract
from saga.domains import domain_templates
from saga.workflows.templates import InvalidParameters, Template, filled, read_template

PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "minLength": 3},
        "times": {"type": "integer", "default": 3},
        "extra": {"type": "object"},
        "loud": {"type": "boolean", "default": True},
    },
}
WORKFLOW = {
    "description": "Ask <<url>> <<times>> times, <<loud>>.",
    "steps": [{"name": "a", "times": "<<times>>", "list": [1, "<<extra>>", "<<url>>"], "extra": "<<extra>>"}],
}


def template(**fields: Any) -> Template:
    content = {
        "name": "ask", "title": "Ask", "description": "Asks.", "category": "general", "parameters": PARAMETERS,
        "example": {"parameters": {"url": "https://a.example"}}, "workflow": WORKFLOW,
    }  # fmt: skip
    return read_template(yaml.safe_dump(content | fields).encode(), "ask.yaml")


def test_parameters_have_their_defaults_and_their_types() -> None:
    found = filled(template(), "mine", {"url": "${input.url}"})
    assert found == {
        "name": "mine",
        "description": "Ask ${input.url} 3 times, true.",
        "category": "general",
        "metadata": {"template": "ask"},
        "steps": [{"name": "a", "times": 3, "list": [1, "${input.url}"]}],
    }
    full = filled(template(), "mine", {"url": "<<times>>", "times": 9, "extra": {"x": "<<url>>"}})
    assert full["steps"] == [
        {"name": "a", "times": 9, "list": [1, {"x": "<<url>>"}, "<<times>>"], "extra": {"x": "<<url>>"}}
    ]


@pytest.mark.parametrize(
    ("parameters", "pointers"),
    [
        ({}, ["/parameters"]),
        ({"url": "a", "times": "3"}, ["/parameters/times", "/parameters/url"]),
        ({"url": "https://a.example", "colour": "red"}, ["/parameters"]),
    ],
)
def test_all_that_is_wrong_with_parameters_is_said(parameters: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(InvalidParameters) as caught:
        filled(template(), "mine", parameters)
    assert sorted(problem["pointer"] for problem in caught.value.problems) == pointers


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"workflow": WORKFLOW | {"deadline_s": "<<nobody>>"}}, "differ in nobody"),
        ({"workflow": {"steps": ["<<url>>", "<<times>>", "<<loud>>"]}}, "differ in extra"),
        ({"workflow": WORKFLOW | {"description": "<<extra>>, <<loud>>"}}, "<<extra>> inside text"),
        ({"workflow": WORKFLOW | {"name": "mine"}}, "its name"),
        ({"parameters": PARAMETERS | {"additionalProperties": True}}, "additionalProperties"),
        ({"parameters": PARAMETERS | {"required": 7}}, "schema"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused_with_its_place(
    fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidContract, match=f"ask.yaml: .*{reason}"):
        template(**fields)


def test_a_domain_may_ship_none() -> None:
    assert domain_templates("leads") == ()
