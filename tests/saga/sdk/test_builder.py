"""The builder: what it compiles to, and that it says everything that is wrong, where it is."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from contracts.checks import InvalidDefinition
from contracts.retries import ExponentialRetry, FixedRetry, NoRetry
from saga import WorkflowBuilder, action, register
from saga.action import Action, ActionContext


class Title(BaseModel, extra="forbid"):
    title: str
    pages: int = 1


class Opened(BaseModel):
    file_id: str


@action("files.open_file", category="files")
async def open_file(ctx: ActionContext, command: Title) -> Opened:
    """Open a file."""
    return Opened(file_id=ctx.key)


@register("files.stamp")
def stamp(file_id: str, times: int = 1) -> str:
    return file_id * times


def two_steps() -> WorkflowBuilder:
    return (
        WorkflowBuilder("filing", domain="files")
        .add_step("open_file", params={"title": "${input.title}"})
        .add_step("stamp", params={"file_id": "${steps.open_file.file_id}"})
    )


def problems_of(builder: WorkflowBuilder) -> dict[str, str]:
    with pytest.raises(InvalidDefinition) as caught:
        builder.build()
    return {problem["pointer"]: problem["detail"] for problem in caught.value.problems}


def test_sequential_steps_follow_each_other_in_the_order_they_were_added() -> None:
    built = two_steps().build()
    assert [(step.name, step.action, step.after) for step in built.steps] == [
        ("open_file", "files.open_file", ()),
        ("stamp", "files.stamp", ("open_file",)),
    ]


def test_parallel_steps_all_follow_the_start() -> None:
    builder = WorkflowBuilder("filing").with_execution_mode("parallel")
    for name in "ab":
        builder = builder.add_step(name, action=open_file, params={"title": name})
    assert [step.after for step in builder.build().steps] == [(), ()]


def test_a_dag_has_the_order_that_its_steps_depend_on() -> None:
    built = two_steps().with_execution_mode("dag")
    assert "is not before 'stamp'" in problems_of(built)["/steps/1/params/file_id"]
    joined = (
        WorkflowBuilder("filing")
        .add_step("a", action=open_file, params={"title": "a"})
        .add_step("b", action=open_file, params={"title": "b"})
        .add_step("c", action=stamp_action(), params={"file_id": "${steps.a.file_id}"}, depends_on=["a", "b"])
        .with_execution_mode("dag")
        .build()
    )
    assert joined.by_name["c"].after == ("a", "b")


def stamp_action() -> Action:
    from saga.registry import implementation

    return implementation("files.stamp")


def test_what_is_said_for_all_steps_yields_to_what_one_step_says() -> None:
    built = (
        two_steps()
        .add_step("again", action="files.stamp", params={"file_id": "x"}, retry=1, timeout_s=5)
        .with_retry(FixedRetry(max_attempts=2))
        .with_step_timeout(9)
        .with_error_handling("continue_on_failure")
        .with_compensation(False, retry=4)
        .with_timeout(300)
        .build()
    )
    first, _, last = built.steps
    assert (first.retry, first.timeout_s, first.on_error, first.compensate) == (
        FixedRetry(max_attempts=2), 9, "continue", False,
    )  # fmt: skip
    assert (last.retry, last.timeout_s, last.on_error) == (NoRetry(), 5, "continue")
    assert first.compensation_retry == ExponentialRetry(max_attempts=4)
    assert built.deadline_s == 300


def test_a_builder_can_be_gone_on_with_in_two_ways() -> None:
    stem = two_steps()
    longer = stem.add_step("again", action="files.stamp", params={"file_id": "x"})
    assert (len(stem.build().steps), len(longer.build().steps)) == (2, 3)


def test_another_content_is_another_version_and_the_same_content_the_same() -> None:
    assert two_steps().build() == two_steps().build()
    assert two_steps().build().version != two_steps().with_timeout(1).build().version
    assert two_steps().with_version("7").build().ref == "filing@7"


def test_the_input_must_hold_what_the_steps_refer_to() -> None:
    schema = two_steps().build().input_schema
    assert schema is not None
    assert schema["required"] == ["title"]
    lenient = WorkflowBuilder("filing").add_step(
        "open_file", action=open_file, params={"title": "${input.title:-untitled}"}
    )
    assert lenient.build().input_schema == {"type": "object", "properties": {"title": {}}, "required": []}


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        (lambda one: one.add_step("opn_file"), "/steps/2/action", "is it files.open_file"),
        (lambda one: one.add_step("x", action=open_file), "/steps/2/params/title", "Field required"),
        (
            lambda one: one.add_step("x", action=open_file, params={"title": "t", "pages": "many"}),
            "/steps/2/params/pages",
            "valid integer",
        ),
        (
            lambda one: one.add_step("x", action=open_file, params={"title": "t", "size": "${input.size}"}),
            "/steps/2/params/size",
            "takes no such field",
        ),
        (
            lambda one: one.add_step("x", action="stamp", params={"file_id": "${steps.open_file.name}"}),
            "/steps/2/params/file_id",
            "no field 'name', but: file_id",
        ),
        (lambda one: one.with_retry(0), "/steps/0/retry/max_attempts", "greater than or equal to 2"),
        (lambda one: one.with_step_timeout(-1), "/steps/1/timeout_s", "greater than 0"),
        (lambda one: one.with_timeout(0), "/deadline_s", "greater than 0"),
        (lambda one: one.with_execution_mode("random"), "/mode", "sequential, parallel, dag"),
        (lambda one: one.with_error_handling("hope"), "/error_handling", "continue_on_failure"),
        (
            lambda one: one.with_execution_mode("parallel").add_step("x", action=open_file, depends_on=["stamp"]),
            "/steps/2/depends_on",
            "use the mode dag",
        ),
        (
            lambda one: one.add_step("x", action=open_file, depends_on=["later"]),
            "/steps/2/depends_on",
            "'later' is not before it",
        ),
        (lambda one: one.add_step("x", action="stamp", when="1 +"), "/steps/2/when", "condition"),
        (lambda one: one.add_step("stamp"), "/steps", "two steps are named 'stamp'"),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_place(
    change: Callable[[Any], WorkflowBuilder], pointer: str, detail: str
) -> None:
    found = problems_of(change(two_steps()))
    assert pointer in found, found
    assert detail in found[pointer]


def test_all_mistakes_are_said_at_once() -> None:
    builder = (
        two_steps()
        .add_step("nothing_like_it")
        .add_step("x", action=open_file, params={"pages": "many"}, retry=0)
        .with_execution_mode("sequential")
    )
    assert set(problems_of(builder)) == {
        "/steps/2/action", "/steps/3/retry/max_attempts", "/steps/3/params/title", "/steps/3/params/pages",
    }  # fmt: skip
