"""Templates of workflows: a document with parameters, from which workflows of one's own are made.

`<<name>>` stands for a parameter. A text that is one whole placeholder becomes the parameter's value with its type,
and the field or item is left out if it was not given; inside other text the value becomes text. It is filled in once,
before the workflow is read: references for run time (`${...}`, `{{...}}`) pass through, in values of parameters, too.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from contracts.definition import Token
from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.nesting import check_nesting
from contracts.pointers import Problem
from saga.json_schemas import check_schema, schema_errors
from saga.workflows.text import Form, read_one

_PLACEHOLDER = re.compile(r"<<([a-z][a-z0-9_]*)>>")
_IN_TEXT = {"string", "integer", "number", "boolean"}


class _Absent:
    """A parameter that was not given."""


_ABSENT: Final = _Absent()


class InvalidParameters(InvalidContract):
    """The parameters do not fit the template; `problems` has a pointer and a reason each."""

    code = "template.parameters_invalid"

    def __init__(self, template: str, problems: list[Problem]) -> None:
        super().__init__(f"template {template}: {'; '.join(map(str, problems))}")
        self.problems = [{"pointer": problem.pointer, "detail": problem.detail} for problem in problems]


class Example(BaseModel):
    """Parameters that work, and an input for the workflow that is made with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: dict[str, Any]
    input: dict[str, Any] = Field(default_factory=dict)


class Template(BaseModel):
    """`parameters` is a JSON Schema of an object; `workflow` is a workflow without its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Token
    title: str = Field(min_length=1, max_length=100)
    description: str = Field(min_length=1, max_length=2_000)
    category: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    parameters: dict[str, Any]
    example: Example
    workflow: dict[str, Any]

    @property
    def defaults(self) -> dict[str, Any]:
        fields: dict[str, dict[str, Any]] = self.parameters.get("properties", {})
        return {name: schema["default"] for name, schema in fields.items() if "default" in schema}

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        check_schema(self.parameters)
        if (
            self.parameters.get("type") != "object"
            or self.parameters.get("additionalProperties") is not False
        ):
            raise ValueError("parameters: expected type: object and additionalProperties: false")
        fields = self.parameters.get("properties", {})
        if "name" in self.workflow:
            raise ValueError("workflow: its name is given by whoever uses the template")
        used = set(_placeholders(self.workflow))
        if unlike := fields.keys() ^ {name for name, _ in used}:
            raise ValueError(f"parameters and placeholders differ in {', '.join(sorted(unlike))}")
        sure = {*self.parameters.get("required", ()), *self.defaults}
        for name in sorted(name for name, inside in used if inside):
            if name not in sure or fields[name].get("type") not in _IN_TEXT:
                raise ValueError(
                    f"<<{name}>> inside text must be a text, number or boolean that is always given"
                )
        return self


def read_template(text: bytes, place: str) -> Template:
    """The template in a YAML file. Raises InvalidContract, naming the place."""
    try:
        return Template.model_validate(read_one(text, Form.YAML))
    except ValidationError as error:
        raise InvalidContract(f"{place}: {explain(error)}") from error
    except InvalidContract as error:
        raise InvalidContract(f"{place}: {error}") from error


def filled(template: Template, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The document of a workflow of that name.

    Raises InvalidParameters with all that is wrong with them, InvalidContract if they are nested too deep.
    """
    check_nesting(parameters, "what the parameters hold")
    given = template.defaults | parameters
    if errors := schema_errors(given, template.parameters):
        problems = [Problem(f"/parameters{error.pointer}", error.message) for error in errors]
        raise InvalidParameters(template.name, problems)
    document: dict[str, Any] = _filled({"name": name, **template.workflow}, given)
    document.setdefault("category", template.category)
    document["metadata"] = {**document.get("metadata", {}), "template": template.name}
    return document


def _filled(value: Any, given: dict[str, Any]) -> Any:
    match value:
        case dict():
            fields = {key: _filled(item, given) for key, item in value.items()}
            return {key: item for key, item in fields.items() if item is not _ABSENT}
        case list():
            return [item for item in (_filled(item, given) for item in value) if item is not _ABSENT]
        case str() if whole := _PLACEHOLDER.fullmatch(value):
            return given.get(whole[1], _ABSENT)
        case str():
            return _PLACEHOLDER.sub(lambda match: _as_text(given[match[1]]), value)
        case _:
            return value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _placeholders(value: Any) -> Iterator[tuple[str, bool]]:
    """Every use of a parameter, and whether it is inside text."""
    match value:
        case dict():
            for item in value.values():
                yield from _placeholders(item)
        case list():
            for item in value:
                yield from _placeholders(item)
        case str():
            whole = _PLACEHOLDER.fullmatch(value) is not None
            yield from ((match[1], not whole) for match in _PLACEHOLDER.finditer(value))
