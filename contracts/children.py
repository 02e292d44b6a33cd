"""Child sagas: steps that start other sagas and wait for their outcome; and steps that wait for a person.

A child is a saga of its own: spread over all replicas by the bus, with its own retries and its own undoing.
Its definition stands between two steps, `child_begin` and `child_report`, by which its end comes to be known
(`as_child`). What all children of a step share is in `shared`, what is one's own in `item`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from contracts.actions import ActionContract
from contracts.definition import SagaDefinition, Step
from contracts.ids import saga_id_for

BEGIN = "child_begin"
REPORT = "child_report"
PARENT = "parent"
LABELS = (PARENT, "parent_step", "child")
"""The labels by which whoever looks at a child finds where it belongs"""

MAX_ITEMS = 10_000
MAX_ERRORS = 100

Ref = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}@[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AtLeast(_Contract):
    """As soon as so many have succeeded; the others are then turned round."""

    at_least: int = Field(ge=1, le=MAX_ITEMS)


class AtMost(_Contract):
    """So many may fail."""

    at_most: int = Field(ge=0, le=MAX_ITEMS)


Join = Literal["all", "any"] | AtLeast
"""When the step has what it wants: all children have ended, one has succeeded, so many have"""

OnFailure = Literal["stop", "continue"] | AtMost
"""What failed children mean where all are waited for: the step fails at the first, at none, at one too many"""


class FanOut(_Contract):
    """What steps with children have in common."""

    limit: int = Field(default=10, ge=1, le=1_000, description="how many run at the same time")
    join: Join = "all"
    on_item_failure: OnFailure = "stop"
    shared: dict[str, JsonValue] = Field(default_factory=dict, description="given to every child")


class ForEach(FanOut):
    """One child for every item; its input is `{"item", "index", "shared"}`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "definition": "quotes--each@1",
                    "items": [{"carrier": "a"}, {"carrier": "b"}],
                    "limit": 2,
                    "on_item_failure": "continue",
                }
            ]
        }
    )

    definition: Ref
    items: list[JsonValue] = Field(max_length=MAX_ITEMS)


class Branch(_Contract):
    """One branch: a child of that definition."""

    definition: Ref


class Parallel(FanOut):
    """One child for every branch; its input is `{"shared"}`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "branches": {
                        "credit": {"definition": "check--credit@1"},
                        "fraud": {"definition": "check--fraud@1"},
                    },
                    "join": "any",
                }
            ]
        }
    )

    branches: dict[Name, Branch] = Field(min_length=1, max_length=50)


class RunChild(_Contract):
    """One child with an input of its own; the step fails if it does."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"definition": "invoice--child@1", "input": {"order": "O-7"}}]}
    )

    definition: Ref
    input: dict[str, JsonValue] = Field(default_factory=dict)


class ChildFailed(_Contract):
    """`child` is the item's number or the branch's name."""

    child: int | str
    saga_id: str
    code: str
    message: str


class _Ended(_Contract):
    total: int
    succeeded: int
    failed: int
    errors: list[ChildFailed] = Field(max_length=MAX_ERRORS, description="the first of them")


class ForEachEnded(_Ended):
    """`results` in the order of the items; null for those without one."""

    results: list[JsonValue]


class ParallelEnded(_Ended):
    """`results` by branch; null for those without one."""

    results: dict[str, JsonValue]


class ChildEnded(_Contract):
    """The child's saga and what it reported."""

    saga_id: str
    output: JsonValue


class BeginChild(_Contract):
    """Nothing is needed to begin."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class ChildBegun(_Contract):
    """Nothing comes of it; its undo, the last of all, reports that the child has failed or is undone."""


class ReportChild(_Contract):
    """The last step of a child: what it tells its parent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"output": {"price": 40}}]})

    output: JsonValue = None


class ChildReported(_Contract):
    """`told` is false for a saga that has no parent."""

    told: bool


class Wait(_Contract):
    """Wait for seconds, for an instant, or for a signal; a signal may be awaited no longer than `timeout_s`.

    With `approval` the signal must say `{"approved": true}`; anything else refuses the step.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"signal": True, "approval": True, "timeout_s": 86_400}]}
    )

    for_s: float | None = Field(default=None, gt=0, le=31_622_400)
    until: AwareDatetime | None = None
    signal: bool = False
    approval: bool = False
    timeout_s: float | None = Field(default=None, gt=0, le=31_622_400)
    on_timeout: Literal["fail", "continue"] = "fail"

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.for_s is not None) + (self.until is not None) + self.signal != 1:
            raise ValueError("expected one of for_s, until and signal")
        if (self.timeout_s is not None or self.approval) and not self.signal:
            raise ValueError("timeout_s and approval belong to signal")
        return self


class Waited(_Contract):
    """`signalled` is false when the time was over first; `payload` is the signal's."""

    signalled: bool
    payload: dict[str, Any] | None = None


ACTIONS = (
    ActionContract(
        name="integrations.for_each", input=ForEach, output=ForEachEnded, compensable=True,
        description="A child saga for every item of a list.",
    ),
    ActionContract(
        name="integrations.parallel", input=Parallel, output=ParallelEnded, compensable=True,
        description="A child saga for every branch.",
    ),
    ActionContract(
        name="integrations.child_saga", input=RunChild, output=ChildEnded, compensable=True,
        description="Another definition as one step.",
    ),
    ActionContract(
        name="integrations.child_begin", input=BeginChild, output=ChildBegun, compensable=True,
        description="The first step of a child saga.",
    ),
    ActionContract(
        name="integrations.child_report", input=ReportChild, output=ChildReported,
        description="The last step of a child saga.",
    ),
    ActionContract(
        name="integrations.wait", input=Wait, output=Waited,
        description="Wait for a time or for a signal.", reads_only=True,
    ),
)  # fmt: skip


def child_saga_id(parent: str, step: str, number: int) -> str:
    """The saga of a step's child; the same whoever asks. Items and branches are numbered from 0."""
    return saga_id_for(f"child {parent}.{step} {number}")


def child_refs(step: Step) -> list[str]:
    """The definitions of the children that a step may begin, each once: they are named, never data."""
    given = step.input
    match step.action:
        case "integrations.for_each" | "integrations.child_saga":
            found = [given.get("definition")]
        case "integrations.parallel":
            found = [branch.get("definition") for branch in given.get("branches", {}).values()]
        case _:
            found = []
    return list(dict.fromkeys(str(ref) for ref in found))


def as_child(definition: SagaDefinition, name: str, version: str, output: JsonValue = None) -> SagaDefinition:
    """The definition as a child of others: its steps between `child_begin` and `child_report`.

    `output` is the template of what it reports. Raises ValidationError as every definition.
    """
    steps = [step if step.after else step.model_copy(update={"after": (BEGIN,)}) for step in definition.steps]
    leaves = tuple(
        step.name
        for step in definition.steps
        if not any(step.name in other.after for other in definition.steps)
    )
    begin = Step(name=BEGIN, action="integrations.child_begin")
    report = Step(name=REPORT, action="integrations.child_report", after=leaves, input={"output": output})
    return definition.model_copy(update={"name": name, "version": version, "steps": (*steps, begin, report)})


def children_of(action: str, arguments: Mapping[str, Any]) -> list[str]:
    """The definitions of the children that a step of this action has, in their order; none for other actions.

    Raises ValidationError if these are no arguments of the action.
    """
    match action:
        case "integrations.for_each":
            command = ForEach.model_validate(arguments)
            return [command.definition] * len(command.items)
        case "integrations.parallel":
            return [branch.definition for branch in Parallel.model_validate(arguments).branches.values()]
        case "integrations.child_saga":
            return [RunChild.model_validate(arguments).definition]
        case _:
            return []
