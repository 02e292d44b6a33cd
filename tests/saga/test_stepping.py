"""Steps by themselves, without participants that take deliveries: the same facts, one process after the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.definition import SagaDefinition
from contracts.facts import FactKind
from contracts.ids import new_saga_id
from saga.action import Action, ActionContext, Unavailable
from saga.client import StartOptions
from saga.service import ServiceSettings
from saga.stepping import Stepper, StillWaiting, TryAgain, stepping
from tests.saga.small import CHAIN, DIAMOND, refuse, step
from tests.world import Number, Running, World


@asynccontextmanager
async def stepper(running: Running, *actions: Action, wait_s: float = 20) -> AsyncIterator[Stepper]:
    """As a process of its own has it: opened anew for every step."""
    settings = ServiceSettings(data=running.data, grace_s=0)
    opening = stepping(actions, running.bus, running.definitions, settings, wait_s=wait_s, environment={})
    async with opening as steps:
        yield steps


async def down(ctx: ActionContext, command: Number) -> Number:
    raise Unavailable("test.down", "down")


async def started(running: Running, definition: SagaDefinition) -> str:
    await running.publish(definition)
    saga_id = new_saga_id()
    await running.client.start(definition.ref, {"value": 1}, StartOptions(saga_id=saga_id))
    return saga_id


async def test_steps_that_are_run_one_by_one_complete_the_saga(running: Running, world: World) -> None:
    saga_id = await started(running, DIAMOND)
    for name in ("a", "c", "b", "d"):
        async with stepper(running, world.action(name)) as steps:
            assert await steps.do(saga_id, name) == FactKind.COMPLETED
            # Once more changes nothing.
            assert await steps.do(saga_id, name) == FactKind.COMPLETED
    assert (await running.state(DIAMOND, saga_id)).status == "completed"
    assert {name: world.times(f"do {name}") for name in "abcd"} == dict.fromkeys("abcd", 1)


async def test_a_step_that_is_not_due_is_waited_for_so_long(running: Running, world: World) -> None:
    saga_id = await started(running, CHAIN)
    async with stepper(running, world.action("b"), wait_s=0.3) as steps:
        with pytest.raises(StillWaiting, match="has not moved"):
            await steps.do(saga_id, "b")


async def test_an_attempt_that_fails_is_made_again_by_the_next_process(
    running: Running, world: World
) -> None:
    saga_id = await started(running, CHAIN)
    async with stepper(running, world.action("a")) as steps:
        await steps.do(saga_id, "a")
    world.behaviours["b"] = down
    async with stepper(running, world.action("b")) as steps:
        with pytest.raises(TryAgain, match="again in"):
            await steps.do(saga_id, "b")
    del world.behaviours["b"]
    async with stepper(running, world.action("b")) as steps:
        assert await steps.do(saga_id, "b") == FactKind.COMPLETED
    assert (await running.state(CHAIN, saga_id)).steps["b"].attempt == 2


async def test_what_was_done_is_undone_step_by_step_in_reverse(running: Running, world: World) -> None:
    saga_id = await started(running, CHAIN)
    for name in ("a", "b"):
        async with stepper(running, world.action(name)) as steps:
            await steps.do(saga_id, name)
    world.behaviours["c"] = refuse
    async with stepper(running, world.action("c")) as steps:
        assert await steps.do(saga_id, "c") == FactKind.FAILED
        assert await steps.abort(saga_id, reason="over", by="test") is True
    async with stepper(running, *map(world.action, "abc")) as steps:
        await steps.settle(saga_id)
        await steps.settle(saga_id)
    assert (await running.state(CHAIN, saga_id)).status == "compensated"
    assert [done for done in world.done if done.startswith("undo")] == ["undo b", "undo a"]


async def test_a_saga_that_goes_on_is_turned_round_and_one_that_has_completed_is_not(
    running: Running, world: World
) -> None:
    going = await started(running, CHAIN)
    async with stepper(running, world.action("a")) as steps:
        await steps.do(going, "a")
        assert await steps.abort(going, reason="stopped", by="test") is True
        assert await steps.do(going, "a") == FactKind.COMPLETED
        await steps.undo(going, "a")
        assert await steps.abort("unknown", reason="stopped", by="test") is False
    state = await running.state(CHAIN, going)
    assert (state.status, state.abort and state.abort["cause"]) == ("compensated", "cancel")
    one = SagaDefinition(name="one", steps=(step("a"),))
    done = await started(running, one)
    async with stepper(running, world.action("a")) as steps:
        await steps.do(done, "a")
        assert await steps.abort(done, reason="stopped", by="test") is False


async def test_a_step_whose_condition_is_false_is_not_due_and_is_skipped(
    running: Running, world: World
) -> None:
    definition = SagaDefinition(name="when", steps=(step("a", when="input.value > 5"), step("b")))
    saga_id = await started(running, definition)
    async with stepper(running, world.action("a"), world.action("b")) as steps:
        assert await steps.due(saga_id, "a") is False
        assert await steps.due(saga_id, "b") is True
    state = await running.state(definition, saga_id)
    assert (state.steps["a"].status, state.steps["b"].status) == ("skipped", "pending")
