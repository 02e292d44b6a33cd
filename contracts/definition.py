"""A saga definition: the contract all participants share. Pure data, immutable per version.

`after` gives the order (a DAG), `input` says where each step's data comes from. Whatever is wrong
with a definition is said when it is made, all of it at once.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import to_json

from contracts.failure import InvalidContract
from contracts.graph import Graph
from contracts.pointers import Problem
from contracts.policies import POLICY_FIELDS
from contracts.references import (
    InvalidTemplate,
    Reference,
    Template,
    Use,
    compile_template,
    condition_references,
)
from contracts.retries import COMPENSATION_RETRY, NoRetry, RetryPolicy
from contracts.subjects import TOKEN

Token = Annotated[str, StringConstraints(pattern=rf"^{TOKEN}$")]
StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
ActionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=128)
]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A changed copy, validated. pydantic's own would keep what was worked out from the old content."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**fields | dict(update or {}))


class StepBase(_Contract):
    """What every step says of itself, whatever it does. Durations in seconds."""

    name: StepName
    after: tuple[StepName, ...] = Field(
        default=(), description="the steps it follows; none: follows the start"
    )
    when: str | None = Field(default=None, max_length=1024, description="CEL condition over input and steps")
    retry: RetryPolicy = NoRetry()
    compensation_retry: RetryPolicy = COMPENSATION_RETRY
    timeout_s: float = Field(default=30.0, gt=0, le=86_400, description="of one attempt")
    on_error: Literal["abort", "continue"] = "abort"
    compensate: bool = Field(default=True, description="off: its effect stays when the saga is aborted")
    pivot: bool = Field(default=False, description="once it has completed, the saga only goes forward")
    description: str = ""

    @property
    def unsaid(self) -> frozenset[str]:
        """What it leaves to its action's policy: such a field holds the default."""
        return POLICY_FIELDS - self.model_fields_set


class Step(StepBase):
    """One use of an action."""

    action: ActionName
    input: dict[str, Any] = Field(default_factory=dict, description="input mapping with ${...} references")

    @cached_property
    def template(self) -> Template:
        return compile_template(self.input)

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """Everything the step reads: for its input and for its condition."""
        return tuple(use.reference for use in self.uses)

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """As `references`, each with its place: a JSON pointer into the step."""
        read = condition_references(self.when) if self.when else ()
        return (
            *(replace(use, pointer=f"/input{use.pointer}") for use in self.template.uses),
            *(Use("/when", reference, whole=False) for reference in read),
        )

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with its references as they are written; without any it has `uses`."""
        return (*_input_problems(self), *_condition_problems(self))


class Flawed(ValueError):
    """A definition with mistakes: `problems` has all of them, each with its pointer into the definition."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def flaws(error: ValidationError) -> list[Problem]:
    """What a validation error of a definition says, each mistake with its pointer."""
    found: list[Problem] = []
    for problem in error.errors(include_url=False):
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, Flawed):
            found += cause.problems
        else:
            found.append(Problem("".join(f"/{part}" for part in problem["loc"]), problem["msg"]))
    return found


class SagaDefinition(_Contract):
    """The contract `name@version`."""

    name: Token
    version: Version = "1"
    description: str = ""
    input_type: str | None = Field(default=None, description="contract of the input: domain.Model")
    input_schema: dict[str, Any] | None = Field(
        default=None, description="JSON Schema (2020-12) of the input, where no contract describes it"
    )
    steps: tuple[Step, ...] = Field(min_length=1, max_length=100)
    deadline_s: float | None = Field(default=None, gt=0, description="of the whole saga, from its start")
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the definition's canonical JSON: the same content has the same hash everywhere."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(to_json(_sorted(content))).hexdigest()

    def written(self) -> str:
        """Its JSON, without what its steps leave to policies."""
        content = self.model_dump(mode="json")
        for step, fields in zip(self.steps, content["steps"], strict=True):
            for name in step.unsaid:
                del fields[name]
        return to_json(content).decode()

    @cached_property
    def by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    @cached_property
    def graph(self) -> Graph:
        references = {step.name: step.references for step in self.steps}
        return Graph(
            {step.name: step.after for step in self.steps},
            references,
            (step.name for step in self.steps if step.on_error == "continue"),
        )

    @cached_property
    def pivot(self) -> Step | None:
        return next((step for step in self.steps if step.pivot), None)

    def step(self, name: str) -> Step:
        """The step of that name. Raises InvalidContract, naming those there are."""
        if name not in self.by_name:
            raise InvalidContract(f"{self.ref} has no step {name!r}: it has {', '.join(self.by_name)}")
        return self.by_name[name]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := self._problems():
            raise Flawed(problems)
        return self

    def _problems(self) -> list[Problem]:
        names = Counter(step.name for step in self.steps)
        problems = [
            Problem("/steps", f"two steps are named {name!r}")
            for name, times in sorted(names.items())
            if times > 1
        ]
        problems += [
            Problem(f"/steps/{index}/after", f"no step {other!r}")
            for index, step in enumerate(self.steps)
            for other in step.after
            if other not in names
        ]
        if sum(step.pivot for step in self.steps) > 1:
            problems.append(Problem("/steps", "only one step can be the pivot"))
        problems += [
            Problem(f"/steps/{index}{problem.pointer}", problem.detail)
            for index, step in enumerate(self.steps)
            for problem in step.problems
        ]
        return problems + self._order_problems(names)

    def _order_problems(self, names: Counter[str]) -> list[Problem]:
        """Circles, and references to what is not before: as far as the names leave no doubt."""
        unique = [step for step in self.steps if names[step.name] == 1]
        after = {step.name: tuple(other for other in step.after if other in names) for step in unique}
        graph = Graph(dict.fromkeys(names, ()) | after, {})
        if cycle := graph.cycle:
            problems = [Problem("/steps", f"steps wait for each other in a circle: {' -> '.join(cycle)}")]
        else:
            problems = []
        told = graph.ancestors if not cycle and len(unique) == len(self.steps) else None
        return problems + [
            Problem(
                f"/steps/{index}{use.pointer}",
                f"${{{use.reference.text}}} refers to {use.reference.step!r}, which is not before {step.name!r}",
            )
            for index, step in enumerate(self.steps)
            for use in (() if step.problems else step.uses)
            if use.reference.step is not None
            and use.reference.step not in (told[step.name] if told is not None else names)
        ]


def _input_problems(step: Step) -> list[Problem]:
    try:
        _ = step.template
    except InvalidTemplate as error:
        return [Problem(f"/input{problem.pointer}", problem.detail) for problem in error.problems]
    return []


def _condition_problems(step: Step) -> list[Problem]:
    try:
        condition_references(step.when or "")
    except InvalidContract as error:
        return [Problem("/when", str(error))]
    return []


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
