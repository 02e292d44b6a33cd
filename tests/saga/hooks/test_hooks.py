"""Hooks around real steps on a real server: which run, in which order, and what a failing one does."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives
from contracts.failure import InvalidContract, NotFound
from contracts.retries import FixedRetry
from saga import Client, Hook, HookEvent, WorkflowResult, hook
from saga.action import Action, ActionContext, Refused
from saga.hooks.manager import installed
from tests.world import Number, Running, World


class Heard:
    """What the hooks of a test were told, in order."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.events: defaultdict[str, list[HookEvent]] = defaultdict(list)

    def hook(self, name: str, **options: object) -> Hook:
        @hook(name, **options)  # type: ignore[arg-type]
        async def told(event: HookEvent) -> None:
            self.stages.append(f"{name} {event.stage} {event.step}")
            self.events[name].append(event)

        return told


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running.bus, running.definitions)


def two(a: Action, b: Action, **of_b: Any) -> SagaDefinition:
    return SagaDefinition(
        name="hooked",
        steps=(
            Step(name="a", action=a.name, input={"value": "${input.value}"}),
            Step(name="b", action=b.name, after=("a",), input={"value": "${steps.a.value}"}, **of_b),
        ),
    )


async def refuses(ctx: ActionContext, command: Number) -> Number:
    raise Refused("test.no", "write to ann@example.com")


async def ran(
    client: Client, definition: SagaDefinition, directives: Directives | None = None
) -> WorkflowResult:
    handle = await client.start(definition, user_id="u_1", context={"value": 1}, directives=directives)
    return await handle.result(timeout_s=20)


async def test_stages_come_in_order_and_hooks_of_a_stage_by_theirs(
    client: Client, running: Running, world: World, heard: Heard
) -> None:
    a, b = world.action("a"), world.action("b")
    world.behaviours["b"] = refuses
    hooks = [heard.hook("late", order=200), heard.hook("early", order=1)]
    async with running.serving(a, b, hooks=hooks):
        assert (await ran(client, two(a, b))).status == "compensated"
    assert heard.stages == [
        f"{name} {stage} {step}"
        for stage, step in (("pre", "a"), ("post", "a"), ("pre", "b"), ("error", "b"), ("compensation", "a"))
        for name in ("early", "late")
    ]
    post, error = heard.events["early"][1], heard.events["early"][3]
    assert (post.input, post.output, post.directives.user) == ({"value": 1}, {"value": 2}, "u_1")
    assert error.failure is not None
    assert error.failure.message == "write to [redacted: email]"


async def test_a_hook_that_fails_or_hangs_does_not_break_a_step(
    client: Client, running: Running, world: World, heard: Heard
) -> None:
    a, b = world.action("a"), world.action("b")

    @hook("broken", order=1)
    async def broken(event: HookEvent) -> None:
        raise RuntimeError("cannot")

    @hook("hanging", order=2, timeout_s=0.02)
    async def hanging(event: HookEvent) -> None:
        await asyncio.Event().wait()

    async with running.serving(a, b, hooks=[broken, hanging, heard.hook("sound")]):
        assert (await ran(client, two(a, b))).success
    assert len(heard.stages) == 4


async def test_a_required_hook_before_an_attempt_keeps_it_from_running(
    client: Client, running: Running, world: World
) -> None:
    a, b = world.action("a"), world.action("b")

    @hook("gate", stages=("pre",), required=True)
    async def gate(event: HookEvent) -> None:
        if event.step == "b":
            raise PermissionError("closed")

    async with running.serving(a, b, hooks=[gate]):
        result = await ran(client, two(a, b))
    assert result.status == "compensated"
    assert result.steps["b"].error is not None
    assert result.steps["b"].error.code == "step.hook_failed"
    assert world.done == ["do a", "undo a"]


async def test_a_required_hook_after_an_attempt_makes_it_fail_and_be_repeated(
    client: Client, running: Running, world: World
) -> None:
    a, b = world.action("a"), world.action("b")
    calls = 0

    @hook("keeper", stages=("post",), required=True)
    async def keeper(event: HookEvent) -> None:
        nonlocal calls
        calls += event.step == "b"
        if calls == 1 and event.step == "b":
            raise OSError("disk full")

    async with running.serving(a, b, hooks=[keeper]):
        result = await ran(client, two(a, b, retry=FixedRetry(delay_s=0.01)))
    assert result.success
    assert (result.steps["b"].attempts, world.times("do b")) == (2, 2)


async def test_data_that_no_hook_looks_at_is_not_even_redacted(
    client: Client, running: Running, world: World, heard: Heard
) -> None:
    a, b = world.action("a"), world.action("b")
    async with running.serving(a, b, hooks=[heard.hook("blind", stages=("post",), data=False)]):
        assert (await ran(client, two(a, b))).success
    assert [(event.input, event.output) for event in heard.events["blind"]] == [({}, None)] * 2


async def test_hooks_hear_of_an_attempt_that_is_refused(
    client: Client, running: Running, world: World, heard: Heard
) -> None:
    a, b = world.action("a"), world.action("b", permissions=("b:do",))
    async with running.serving(a, b, hooks=[heard.hook("seen", stages=("error",))]):
        await running.publish(two(a, b))
        started = await client.sagas.start("hooked", {"value": 1})
        assert (await (await client.handle(started.saga_id)).result(timeout_s=20)).status == "compensated"
    (event,) = heard.events["seen"]
    assert event.failure is not None
    assert (event.step, event.failure.code) == ("b", "step.forbidden")


async def test_an_execution_skips_hooks_but_not_required_ones(
    client: Client, running: Running, world: World, heard: Heard
) -> None:
    a, b = world.action("a"), world.action("b")
    hooks = [
        heard.hook("one", stages=("pre",)),
        heard.hook("two", stages=("pre",)),
        heard.hook("must", stages=("pre",), required=True),
        heard.hook("tracer", stages=("pre",), trace="full"),
    ]
    async with running.serving(a, b, hooks=hooks):
        found = {}
        for name, directives in {
            "plain": Directives(),
            "named": Directives(skip_hooks=("one",)),
            "all": Directives(skip_hooks=("*",)),
            "off": Directives(trace="off"),
            "full": Directives(trace="full"),
        }.items():
            heard.stages.clear()
            assert (await ran(client, two(a, b), directives)).success
            found[name] = {stage.split()[0] for stage in heard.stages}
    assert found == {
        "plain": {"one", "two", "must"},
        "named": {"two", "must"},
        "all": {"must"},
        "off": {"must"},
        "full": {"one", "two", "must", "tracer"},
    }


async def test_a_dry_run_rehearses_and_undoes_nothing(
    client: Client, running: Running, world: World, heard: Heard
) -> None:
    a, b = world.action("a"), world.action("b")

    @a.rehearsal
    async def rehearse(ctx: ActionContext, command: Number) -> Number:
        return Number(value=command.value + 100)

    async with running.serving(a, b, hooks=[heard.hook("seen", stages=("post", "compensation"))]):
        refused = await ran(client, two(a, b), Directives(dry_run=True))
        assert refused.steps["a"].output == Number(value=101)
        assert refused.steps["b"].error is not None
        assert refused.steps["b"].error.code == "step.no_rehearsal"
        assert refused.status == "compensated"

        @b.rehearsal
        async def rehearse_b(ctx: ActionContext, command: Number) -> Number:
            assert ctx.user_id == "u_1"
            return command

        assert (await ran(client, two(a, b), Directives(dry_run=True))).success
    assert world.done == []
    assert all(event.directives.dry_run for event in heard.events["seen"])


async def test_a_cancelled_dry_run_stays_dry(client: Client, running: Running, world: World) -> None:
    a, b = world.action("a"), world.action("b")

    @a.rehearsal
    async def rehearse(ctx: ActionContext, command: Number) -> Number:
        return command

    definition = two(a, b)
    async with running.serving(a):
        handle = await client.start(definition, context={"value": 1}, directives=Directives(dry_run=True))
        async for moment in handle.events():
            if (moment.step, moment.kind) == ("a", "completed"):
                await handle.cancel("enough")
        assert (await handle.result(timeout_s=20)).steps["a"].status == "compensated"
    assert world.done == []


def test_hooks_are_found_by_name() -> None:
    assert [getattr(one, "name", "opened later") for one in installed("metrics, audit,trace")] == [
        "metrics", "opened later", "trace",
    ]  # fmt: skip
    with pytest.raises(NotFound, match="expected audit, metrics, session, trace or module:name"):
        installed("unheard")
    with pytest.raises(InvalidContract, match="no stage later"):
        hook("x", stages=("later",))  # type: ignore[arg-type]
