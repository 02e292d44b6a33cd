"""Steps that wait for an instant or a signal: without holding a process, on a real server."""

from typing import Any

import pytest

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from contracts.failure import Conflict
from saga.action import ActionContext
from saga.state import SagaStatus, StepStatus
from tests.saga.test_interventions import WHO
from tests.world import Number, Running, World

DEFINITION = SagaDefinition(
    name="waiting",
    steps=(
        Step(name="a", action="test.a", input={"value": "${input.value}"}),
        Step(name="b", action="test.b", after=("a",), input={"value": "${steps.a.value}"}),
    ),
)


async def sleeps(ctx: ActionContext, command: Number) -> Number:
    await ctx.sleep(0.3)
    return Number(value=100)


async def waits_for_a_word(ctx: ActionContext, command: Number) -> Number:
    word = await ctx.signal()
    assert word is not None
    return Number(value=word["value"])


async def waits_a_while(ctx: ActionContext, command: Number) -> Number:
    word = await ctx.signal(timeout_s=0.3)
    return Number(value=-1 if word is None else word["value"])


async def suspended(running: Running, saga_id: str) -> None:
    await running.until(DEFINITION, saga_id, lambda state: state.steps["b"].status == StepStatus.SUSPENDED)


async def output(running: Running, saga_id: str) -> Any:
    facts = {one.fact.key: one.fact.data for one in await running.facts(saga_id)}
    return facts["b", FactKind.COMPLETED]["output"]["value"]


async def test_a_step_sleeps_without_a_process(running: Running, world: World) -> None:
    world.behaviours["b"] = sleeps
    await running.publish(DEFINITION)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(DEFINITION, value=1)
        await suspended(running, saga_id)
    async with running.serving(world.action("a"), world.action("b")):
        assert (await running.ended(DEFINITION, saga_id)).status == SagaStatus.COMPLETED
    assert await output(running, saga_id) == 100
    said = [one.fact.kind for one in await running.facts(saga_id) if one.fact.subject == "b"]
    assert said == [FactKind.STARTED, FactKind.SUSPENDED, FactKind.WOKEN, FactKind.COMPLETED]


async def test_a_signal_ends_a_wait_and_brings_its_payload(running: Running, world: World) -> None:
    world.behaviours["b"] = waits_for_a_word
    await running.publish(DEFINITION)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(DEFINITION, value=1)
        await suspended(running, saga_id)
        await running.client.signal(saga_id, "b", {"value": 7}, by="ada")
        await running.ended(DEFINITION, saga_id)
        with pytest.raises(Conflict):
            await running.client.signal(saga_id, "b", {"value": 8}, by="ada")
    assert (await output(running, saga_id), world.times("do b")) == (7, 2)


async def test_a_signal_that_came_before_the_step_is_not_lost(running: Running, world: World) -> None:
    world.behaviours["b"] = waits_for_a_word
    await running.publish(DEFINITION)
    saga_id = await running.start(DEFINITION, value=1)
    await running.client.signal(saga_id, "b", {"value": 7}, by="ada")
    async with running.serving(world.action("a"), world.action("b")):
        assert (await running.ended(DEFINITION, saga_id)).status == SagaStatus.COMPLETED
    assert await output(running, saga_id) == 7


async def test_a_wait_for_a_signal_ends_when_its_time_is_over(running: Running, world: World) -> None:
    world.behaviours["b"] = waits_a_while
    await running.publish(DEFINITION)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(DEFINITION, value=1)
        assert (await running.ended(DEFINITION, saga_id)).status == SagaStatus.COMPLETED
    assert await output(running, saga_id) == -1


async def test_a_step_that_waits_is_undone_when_the_saga_turns_round(running: Running, world: World) -> None:
    world.behaviours["b"] = waits_for_a_word
    await running.publish(DEFINITION)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(DEFINITION, value=1)
        await suspended(running, saga_id)
        await running.client.cancel(saga_id, **WHO)
        assert (await running.ended(DEFINITION, saga_id)).status == SagaStatus.COMPENSATED
    assert [what for what in world.done if what.startswith("undo")] == ["undo b", "undo a"]


async def test_a_step_that_waits_can_be_skipped(running: Running, world: World) -> None:
    world.behaviours["b"] = waits_for_a_word
    await running.publish(DEFINITION)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(DEFINITION, value=1)
        await suspended(running, saga_id)
        await running.client.skip(saga_id, "b", **WHO)
        state = await running.ended(DEFINITION, saga_id)
    assert (state.status, state.steps["b"].status) == (SagaStatus.COMPLETED, StepStatus.SKIPPED)
