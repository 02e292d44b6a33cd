"""Workflows started from a program, on a real server: what the handle tells of them."""

import pytest
from pydantic import BaseModel

from contracts.failure import Conflict, NotFound
from saga import Client, InvalidInput, NotEnded, SagaDefinition, StepOutcome, WorkflowBuilder, WorkflowFailed
from saga.action import Action, ActionContext, Refused, action
from tests.world import Number, Running, World


class Renamed(BaseModel):
    number: int


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running.bus, running.definitions)


def chain(*actions: Action, handling: str = "stop_on_failure", name: str = "chain") -> SagaDefinition:
    builder = WorkflowBuilder(name).with_error_handling(handling)  # type: ignore[arg-type]
    given = "${input.value}"
    for one in actions:
        step = one.name.rpartition(".")[2]
        builder = builder.add_step(step, action=one, params={"value": given})
        given = f"${{steps.{step}.value:-0}}"
    return builder.build()


async def refuses(ctx: ActionContext, command: Number) -> Number:
    raise Refused("test.no", "not today")


async def test_a_success_has_typed_outputs_and_a_log(client: Client, running: Running, world: World) -> None:
    a, b = world.action("a"), world.action("b")
    async with running.serving(a, b):
        handle = await client.start(chain(a, b), user_id="u_1", context={"value": 1})
        result = await handle.result(timeout_s=20)
    assert result.success
    assert result.check() is result
    assert result.steps["b"].output == Number(value=3)
    assert result.steps["b"].output_as(Number).value == 3
    assert result.input == {"value": 1, "user_id": "u_1"}
    assert [moment.kind for moment in result.log] == [
        "started", "started", "completed", "started", "completed",
    ]  # fmt: skip
    assert result.duration_ms is not None
    assert result.duration_ms > 0


async def test_a_failure_is_told_and_what_was_done_is_compensated(
    client: Client, running: Running, world: World
) -> None:
    a, b, c = (world.action(name) for name in "abc")
    world.behaviours["b"] = refuses
    async with running.serving(a, b, c):
        result = await (await client.start(chain(a, b, c), context={"value": 1})).result(timeout_s=20)
    assert result.status == "compensated"
    assert {name: str(step.status) for name, step in result.steps.items()} == {
        "a": "compensated", "b": "failed", "c": "skipped",
    }  # fmt: skip
    assert result.error is not None
    assert result.error.code == "test.no"
    with pytest.raises(WorkflowFailed, match=r"test\.no: not today"):
        result.check()
    with pytest.raises(WorkflowFailed, match="step b has no output: it is failed"):
        result.steps["b"].output_as(Number)


async def test_a_failure_with_nothing_to_undo_is_a_failure(
    client: Client, running: Running, world: World
) -> None:
    a = world.action("a", compensable=False)
    world.behaviours["a"] = refuses
    async with running.serving(a):
        result = await (await client.start(chain(a), context={"value": 1})).result(timeout_s=20)
    assert (result.status, result.steps["a"].status) == ("failed", StepOutcome.FAILED)


async def test_a_workflow_that_goes_on_without_a_step_is_partial(
    client: Client, running: Running, world: World
) -> None:
    a, b = world.action("a"), world.action("b")
    world.behaviours["a"] = refuses
    definition = chain(a, b, handling="continue_on_failure")
    async with running.serving(a, b):
        result = await (await client.start(definition, context={"value": 1})).result(timeout_s=20)
    assert (result.status, result.steps["a"].status, result.steps["b"].status) == (
        "partial", "failed", "success",
    )  # fmt: skip
    assert result.error is not None
    assert result.error.code == "test.no"


async def test_events_come_as_they_happen_and_end_with_the_workflow(
    client: Client, running: Running, world: World
) -> None:
    a = world.action("a")
    heard = []

    async def waits(ctx: ActionContext, command: Number) -> Number:
        word = await ctx.signal()
        assert word is not None
        return Number(value=word["value"])

    world.behaviours["a"] = waits
    async with running.serving(a):
        handle = await client.start(chain(a), context={"value": 1})
        async for moment in handle.events():
            heard.append(moment.kind)
            if moment.kind == "suspended":
                assert (await handle.status()).status == "running"
                await handle.signal("a", {"value": 42})
        result = await handle.result(timeout_s=20)
    assert result.steps["a"].output == Number(value=42)
    assert heard == [moment.kind for moment in result.log]


async def test_a_cancel_turns_the_workflow_round(client: Client, running: Running, world: World) -> None:
    a, b = world.action("a"), world.action("b")
    definition = chain(a, b)
    async with running.serving(a):
        handle = await client.start(definition, user_id="u_9", context={"value": 1})
        async for moment in handle.events():
            if (moment.step, moment.kind) == ("a", "completed"):
                await handle.cancel("no longer wanted")
        result = await handle.result(timeout_s=20)
    assert result.status == "compensated"
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("saga.cancel", "u_9: no longer wanted")
    with pytest.raises(Conflict):
        await handle.cancel("again")


async def test_an_undo_that_fails_ends_the_waiting_for_the_result(
    client: Client, running: Running, world: World
) -> None:
    a, b = world.action("a"), world.action("b")
    world.behaviours["b"] = refuses

    async def broken(ctx: ActionContext) -> None:
        raise RuntimeError("cannot")

    world.undo_behaviours["a"] = broken
    built = chain(a, b)
    once = tuple(step.model_copy(update={"compensation_retry": {"kind": "none"}}) for step in built.steps)
    definition = built.model_copy(update={"steps": once})
    async with running.serving(a, b):
        result = await (await client.start(definition, context={"value": 1})).result(timeout_s=20)
    assert (result.status, result.waits_for_person) == ("failed", True)


async def test_an_output_of_another_version_of_the_action_is_told_as_it_was_stated(
    client: Client, running: Running, world: World
) -> None:
    a = world.action("a")
    async with running.serving(a):
        handle = await client.start(chain(a), context={"value": 1})
        await handle.result(timeout_s=20)

    @action("test.a")
    async def newer(ctx: ActionContext, command: Number) -> Renamed:
        return Renamed(number=command.value)

    assert (await handle.status()).steps["a"].output == {"value": 2}


async def test_a_repeat_with_the_same_key_is_the_same_workflow(
    client: Client, running: Running, world: World
) -> None:
    a = world.action("a")
    async with running.serving(a):
        handles = [
            await client.start(chain(a), context={"value": 1}, idempotency_key="one") for _ in range(2)
        ]
        assert handles[0].saga_id == handles[1].saga_id
        again = await client.handle(handles[0].saga_id)
        assert (await again.result(timeout_s=20)).success
    assert world.times("do a") == 1


async def test_a_start_without_what_the_steps_need_is_refused(
    client: Client, running: Running, world: World
) -> None:
    a = world.action("a")
    async with running.serving(a):
        with pytest.raises(InvalidInput) as caught:
            await client.start(chain(a), context={"valu": 1})
    assert "value" in str(caught.value)


async def test_a_workflow_nobody_serves_has_not_ended_in_time(
    client: Client, running: Running, world: World
) -> None:
    handle = await client.start(chain(world.action("a"), name="alone"), context={"value": 1})
    with pytest.raises(NotEnded):
        await handle.result(timeout_s=0.2)


async def test_handles_of_nothing_are_refused(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.handle("nothing-of-that-id")
    with pytest.raises(NotFound, match="no definition 'unheard'"):
        await client.start("unheard")
