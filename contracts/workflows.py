"""Workflows as data: what people and programs write, and the saga definitions it is compiled to.

A workflow's steps have a type; what a step of a workflow starts beside itself (`do`, `branches`) becomes a
definition of its own, `<workflow>--<step>`, whose sagas are children. There, `${item}` is the item, and whatever
is before the step in the workflow around it can be referred to as there: it is given to the children.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from contracts.checks import InvalidDefinition, contract_problems, problems_of_steps
from contracts.children import MAX_ITEMS, Join, Name, OnFailure, Ref, as_child
from contracts.definition import ActionName, SagaDefinition, Step, StepBase, StepName, Token, flaws
from contracts.failure import InvalidContract
from contracts.pointers import Problem, place
from contracts.references import Reference, rewrite, rewrite_condition

MAX_DEPTH = 4
"""So deep may bodies be within bodies"""

INLINE = "inline"
"""The name of all workflows that were sent to be run, and are in no catalogue; their version tells them apart"""

type Find = Callable[[str], SagaDefinition | None]
"""Finds the definition `name@version`"""


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Simple(StepBase):
    input: dict[str, Any] = Field(default_factory=dict, description="input mapping with ${...} references")


class GenericStep(_Simple):
    """A generic step; `input` is that of the action of the same name in `integrations`."""

    type: Literal["HTTP_REQUEST", "DATA_TRANSFORM", "CONDITIONAL", "VALIDATION", "WEBHOOK_CALL", "WAIT"]


class ActionStep(_Simple):
    """A step of any service."""

    type: Literal["ACTION"]
    action: ActionName


class ChildStep(_Simple):
    """Another definition as one step. `output` is taken from its steps; `input` is its input."""

    type: Literal["CHILD"]
    definition: Ref
    output: JsonValue = None


class Body(_Contract):
    """Steps within a step. `output` refers to them, and is what a child gives as its result."""

    steps: tuple["WorkflowStep", ...] = Field(min_length=1, max_length=98)
    output: JsonValue = None
    deadline_s: float | None = Field(default=None, gt=0, description="of one child")


class _FanOut(StepBase):
    limit: int = Field(default=10, ge=1, le=1_000, description="how many run at the same time")
    join: Join = "all"
    on_item_failure: OnFailure = "stop"


class ForEachStep(_FanOut):
    """The body for every item of a list; in it, `${item}` is the item."""

    type: Literal["FOR_EACH"]
    items: str | list[JsonValue] = Field(description="a list, or the reference to one")
    do: Body


class ParallelStep(_FanOut):
    """Branches side by side."""

    type: Literal["PARALLEL"]
    branches: dict[Name, Body] = Field(min_length=1, max_length=50)


WorkflowStep = Annotated[
    GenericStep | ActionStep | ChildStep | ForEachStep | ParallelStep, Field(discriminator="type")
]


class Workflow(_Contract):
    """A workflow, without its version."""

    name: Token
    description: str = Field(default="", max_length=2_000)
    category: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "general"
    input_type: str | None = Field(default=None, description="contract of the input: domain.Model")
    input_schema: dict[str, Any] | None = Field(default=None, description="JSON Schema of the input")
    deadline_s: float | None = Field(default=None, gt=0, description="of the whole saga, from its start")
    metadata: dict[str, str] = Field(default_factory=dict)
    steps: tuple[WorkflowStep, ...] = Field(min_length=1, max_length=100)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A workflow's definition, and those of its children, innermost first."""

    definition: SagaDefinition
    children: tuple[SagaDefinition, ...]


def is_inline(name: str) -> bool:
    """Whether a definition of that name was sent to be run, or is a body of one that was."""
    return name.partition("--")[0] == INLINE


def parse_workflow(document: Any) -> Workflow:
    """The workflow in JSON data. Raises InvalidDefinition with all that is wrong with its fields."""
    try:
        return Workflow.model_validate(document)
    except ValidationError as error:
        name = document.get("name") if isinstance(document, dict) else None
        found = [
            (place(document, flaw["loc"], keep_last=flaw["type"] == "missing"), flaw["type"], flaw["msg"])
            for flaw in error.errors(include_url=False, include_input=False)
        ]
        problems = [
            Problem(pointer, detail)
            for pointer, kind, detail in found
            # Items that are wrong are missed, too: that says nothing more.
            if kind != "too_short" or not any(other.startswith(f"{pointer}/") for other, _, _ in found)
        ]
        raise InvalidDefinition(str(name or "workflow"), problems) from error


def compile_workflow(workflow: Workflow, version: str, find: Find = lambda _: None) -> Compiled:
    """The definitions of a version of a workflow.

    Raises InvalidDefinition with all problems, as pointers into the workflow.
    """
    compiling = _Compiling(version, find)
    steps = compiling.steps(workflow.steps, workflow.name, "", 0)
    content = {
        **workflow.model_dump(include={"name", "description", "input_type", "input_schema", "metadata"}),
        "deadline_s": workflow.deadline_s,
        "steps": steps,
    }
    definition = compiling.definition(content, workflow.steps, "")
    if compiling.problems or definition is None:
        raise InvalidDefinition(f"{workflow.name}@{version}", list(dict.fromkeys(compiling.problems)))
    return Compiled(definition, tuple(compiling.children))


@dataclass(slots=True)
class _Compiling:
    version: str
    find: Find
    children: list[SagaDefinition] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def steps(self, steps: Sequence[WorkflowStep], name: str, at: str, depth: int) -> list[dict[str, Any]]:
        """The steps of one level as those of a definition. `at` points to what holds them."""
        return [
            {
                **step.model_dump(include=StepBase.model_fields.keys() - step.unsaid),
                **self._does(step, f"{name}--{step.name}", f"{at}/steps/{index}", depth),
            }
            for index, step in enumerate(steps)
        ]

    def definition(
        self, content: dict[str, Any], steps: Sequence[WorkflowStep], at: str, output: JsonValue = None
    ) -> SagaDefinition | None:
        """A definition of this version, checked; None if it is wrong. With `at` it is a child's."""
        try:
            made = SagaDefinition.model_validate({**content, "version": self.version})
            if at:
                made = as_child(made, made.name, made.version, output)
        except ValidationError as error:
            self._refuse(flaws(error), steps, at)
            # One mistake hides no other: the steps are judged without the definition that they do not make.
            alone = [Step.model_validate(step) for step in content["steps"]]
            given = content.get("input_type"), content.get("input_schema")
            self._refuse(problems_of_steps(alone, *given), steps, at)
            return None
        problems = contract_problems(made)
        self._refuse(problems, steps, at)
        return None if problems else made

    def _does(self, step: WorkflowStep, name: str, at: str, depth: int) -> dict[str, Any]:
        match step:
            case GenericStep():
                return {"action": f"integrations.{step.type.lower()}", "input": step.input}
            case ActionStep():
                return {"action": step.action, "input": step.input}
            case ChildStep():
                self._adopt(step, name, at)
                given: dict[str, Any] = {"definition": f"{name}@{self.version}", "input": step.input}
                return {"action": "integrations.child_saga", "input": given}
            case ForEachStep():
                shared = self._body(step.do, name, f"{at}/do", depth, item=True)
                given = {"definition": f"{name}@{self.version}", "items": step.items}
                return {"action": "integrations.for_each", "input": given | _fan_out(step, shared)}
            case ParallelStep():
                shared = _Shared()
                branches = {}
                for branch, body in step.branches.items():
                    child_name = f"{name}--{branch}"
                    found = self._body(body, child_name, f"{at}/branches/{branch}", depth, item=False)
                    shared.update(found)
                    branches[branch] = {"definition": f"{child_name}@{self.version}"}
                return {
                    "action": "integrations.parallel", "input": {"branches": branches} | _fan_out(step, shared)
                }  # fmt: skip

    def _adopt(self, step: ChildStep, name: str, at: str) -> None:
        found = self.find(step.definition)
        if found is None:
            self.problems.append(Problem(f"{at}/definition", f"no definition {step.definition}"))
            return
        try:
            self.children.append(as_child(found, name, self.version, step.output))
        except ValidationError as error:
            report = len(found.steps) + 1
            self.problems += [
                Problem(at + problem.pointer.replace(f"/steps/{report}/input", "", 1), problem.detail)
                for problem in flaws(error)
            ]

    def _body(self, body: Body, name: str, at: str, depth: int, *, item: bool) -> "_Shared":
        shared = _Shared()
        if depth >= MAX_DEPTH:
            self.problems.append(Problem(at, f"bodies within bodies, expected at most {MAX_DEPTH} deep"))
            return shared
        steps = self.steps(body.steps, name, at, depth + 1)
        closing = _Closing(frozenset(step.name for step in body.steps), item, shared)
        content = {
            "name": name,
            "deadline_s": body.deadline_s,
            "steps": [closing.step(step) for step in steps],
        }
        child = self.definition(content, body.steps, at, rewrite(body.output, closing.reference))
        if child is not None:
            self.children.append(child)
        return shared

    def _refuse(self, problems: list[Problem], steps: Sequence[WorkflowStep], at: str) -> None:
        self.problems += [
            Problem(at + _written(problem.pointer, steps), problem.detail) for problem in problems
        ]


class _Shared:
    """What bodies refer to outside of themselves, each by its path; True where it may be missing."""

    def __init__(self) -> None:
        self._optional: dict[tuple[str, ...], bool] = {}

    def add(self, path: tuple[str, ...], *, optional: bool) -> None:
        self._optional[path] = optional and self._optional.get(path, True)

    def update(self, other: "_Shared") -> None:
        for path, optional in other._optional.items():
            self.add(path, optional=optional)

    def mapping(self) -> dict[str, Any]:
        """The input mapping that gives it to the children, of the same shape as where it comes from."""
        given: dict[str, Any] = {}
        for path, optional in self._optional.items():
            if any(path[:length] in self._optional for length in range(1, len(path))):
                continue
            place = given
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = f"${{{'.'.join(path)}{':-null' if optional else ''}}}"
        return given


@dataclass(frozen=True, slots=True)
class _Closing:
    """Turns references of a body into references to its child's input."""

    own: frozenset[str]
    item: bool
    shared: _Shared

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """A step of the child, from a step of the body."""
        when = step["when"]
        try:
            condition = rewrite_condition(when, self.reference) if when else when
        except InvalidContract:
            # The definition refuses it, and says where.
            condition = when
        return step | {"input": rewrite(step["input"], self.reference), "when": condition}

    def reference(self, reference: Reference) -> Reference:
        """The reference as the child must write it."""
        if reference.root == "item":
            return Reference("input", ("item", *reference.path)) if self.item else reference
        if reference.root == "output" or reference.step in self.own:
            return reference
        path = (reference.root, *reference.path)
        names = [str(part) for part in _until_number(path)]
        self.shared.add(tuple(names), optional=reference.optional)
        return Reference("input", ("shared", *path))


def _until_number(path: tuple[str | int, ...]) -> Iterator[str]:
    for part in path:
        if isinstance(part, int):
            return
        yield part


def _fan_out(step: ForEachStep | ParallelStep, shared: _Shared) -> dict[str, Any]:
    given = step.model_dump(include={"limit", "join", "on_item_failure"})
    return given | {"shared": shared.mapping()}


_STEP = re.compile(r"^/steps/(\d+)(/.*)?$")


def _written(pointer: str, steps: Sequence[WorkflowStep]) -> str:
    """Where in the workflow stands what a pointer into its definition points to."""
    match = _STEP.match(pointer)
    if match is None:
        return pointer
    index, rest = int(match[1]), match[2] or ""
    if index >= len(steps):
        # The step that reports the body's output.
        return rest.removeprefix("/input")
    step = steps[index]
    at = f"/steps/{index}"
    if rest == "/action" and not isinstance(step, ActionStep):
        return f"{at}/type"
    match step:
        case ForEachStep() | ParallelStep():
            inner = rest.removeprefix("/input")
            inside = "/do" if isinstance(step, ForEachStep) else "/branches"
            return at + (inside if inner.startswith("/shared") else inner)
        case ChildStep():
            return at + rest.removeprefix("/input")
        case _:
            return at + rest


__all__ = [
    "INLINE", "MAX_ITEMS", "Body", "Compiled", "Find", "StepName", "Workflow", "WorkflowStep", "compile_workflow",
    "is_inline", "parse_workflow",
]  # fmt: skip
