"""Definitions from plain dictionaries, as other pipelines describe their steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.checks import InvalidDefinition
from contracts.definition import Flawed, SagaDefinition
from contracts.pointers import Problem, place
from saga.checks import check_definition

_ENV = "env"


class PlainStep(BaseModel):
    """A step: `processor` is an action, `args` its input, `env` what its pod finds in its environment."""

    model_config = ConfigDict(extra="forbid")

    name: str
    processor: str
    dependencies: list[str] = []
    args: dict[str, Any] = {}
    env: dict[str, str] = Field(default={}, description="for `saga export argo`; services have their own")


def create_workflow_from_steps(
    steps: Sequence[Mapping[str, Any]], *, name: str = "workflow", version: str = "1"
) -> SagaDefinition:
    """The definition of plain steps: `[{"name", "processor", "dependencies", "args", "env"}, ...]`.

    Raises InvalidDefinition with everything that is wrong, each with its pointer into the list.
    """
    ref, problems, plain = f"{name}@{version}", [], []
    for index, step in enumerate(steps):
        try:
            plain.append(PlainStep.model_validate(step))
        except ValidationError as error:
            problems += [
                Problem(f"/{index}{place(dict(step), flaw['loc'], keep_last=True)}", flaw["msg"])
                for flaw in error.errors(include_url=False, include_input=False)
            ]
    if problems:
        raise InvalidDefinition(ref, problems)
    metadata = {f"{_ENV}.{step.name}.{key}": value for step in plain for key, value in step.env.items()}
    written = [
        {"name": step.name, "action": step.processor, "after": step.dependencies, "input": step.args}
        for step in plain
    ]
    try:
        definition = SagaDefinition.model_validate(
            {"name": name, "version": version, "steps": written, "metadata": metadata}
        )
    except ValidationError as error:
        raise InvalidDefinition(ref, list(_flaws(error))) from error
    check_definition(definition)
    return definition


def environment_of(definition: SagaDefinition, step: str) -> list[tuple[str, str]]:
    """What the metadata of a definition says of a step's environment: `env.<step>.<NAME>`."""
    begin = f"{_ENV}.{step}."
    return [
        (key.removeprefix(begin), value)
        for key, value in definition.metadata.items()
        if key.startswith(begin)
    ]


def _flaws(error: ValidationError) -> list[Problem]:
    found: list[Problem] = []
    for flaw in error.errors(include_url=False, include_input=False):
        cause = flaw.get("ctx", {}).get("error")
        if isinstance(cause, Flawed):
            found += [Problem(one.pointer.removeprefix("/steps"), one.detail) for one in cause.problems]
        else:
            where = "".join(f"/{part}" for part in flaw["loc"] if part != "steps")
            found.append(Problem(where, flaw["msg"]))
    # That the list of steps is too short, because some are wrong, is no mistake of its own.
    return [problem for problem in found if problem.pointer] or found
