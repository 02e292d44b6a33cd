"""The wave back on a real server: what was done is undone, in reverse order, whatever happens."""

import asyncio

import pytest

from contracts.definition import SagaDefinition
from contracts.facts import FactKind
from contracts.failure import Conflict, NotFound
from saga.action import ActionContext, Unavailable
from saga.state import SagaStatus, StepStatus
from tests.saga.small import AGAIN, CHAIN, DIAMOND, actions, refuse, step
from tests.world import Number, Running, World


async def test_a_refusal_undoes_what_was_done_in_reverse_order(running: Running, world: World) -> None:
    world.behaviours["d"] = refuse
    await running.publish(DIAMOND)
    async with running.serving(*actions(world, "a", "b", "c", "d")):
        saga_id = await running.start(DIAMOND, value=1)
        state = await running.ended(DIAMOND, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert state.steps["d"].status == StepStatus.STOOD_DOWN
    undone = [what for what in world.done if what.startswith("undo")]
    assert set(undone[:2]) == {"undo b", "undo c"}
    assert undone[2:] == ["undo a"]


async def test_exhausted_attempts_turn_the_saga_round(running: Running, world: World) -> None:
    async def never(ctx: ActionContext, command: Number) -> Number:
        raise Unavailable("test.down", "never")

    world.behaviours["b"] = never
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        state = await running.ended(CHAIN, saga_id)
    assert (state.status, state.steps["b"].attempt) == (SagaStatus.COMPENSATED, 3)
    assert world.times("do b") == 3
    assert world.times("do c") == 0


async def test_a_step_that_takes_too_long_is_cancelled_and_undone(running: Running, world: World) -> None:
    cancelled = asyncio.Event()

    async def for_ever(ctx: ActionContext, command: Number) -> Number:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return command

    world.behaviours["b"] = for_ever
    hasty = SagaDefinition(name="hasty", steps=(step("a"), step("b", "a", timeout_s=0.05)))
    await running.publish(hasty)
    async with running.serving(*actions(world, "a", "b")):
        saga_id = await running.start(hasty, value=1)
        state = await running.ended(hasty, saga_id)
    assert cancelled.is_set()
    assert state.status == SagaStatus.COMPENSATED
    # A timeout may have had an effect, so the step is undone and does not stand down.
    assert world.done[-2:] == ["undo b", "undo a"]


async def test_a_step_in_flight_when_the_saga_is_cancelled_undoes_itself(
    running: Running, world: World
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(ctx: ActionContext, command: Number) -> Number:
        begun.set()
        await go_on.wait()
        return command

    world.behaviours["b"] = slowly
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        await begun.wait()
        await running.client.cancel(saga_id, reason="changed my mind", by="tester")
        go_on.set()
        state = await running.ended(CHAIN, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert ("b", FactKind.COMPLETED) not in {one.fact.key for one in await running.facts(saga_id)}
    assert world.done == ["do a", "do b", "undo b", "undo a"]


async def test_behind_its_pivot_a_saga_only_goes_forward(running: Running, world: World) -> None:
    world.behaviours["c"] = refuse
    pivoted = SagaDefinition(name="pivoted", steps=(step("a"), step("b", "a", pivot=True), step("c", "b")))
    await running.publish(pivoted)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(pivoted, value=1)
        state = await running.ended(pivoted, saga_id)
        assert state.status == SagaStatus.FAILED
        assert not [what for what in world.done if what.startswith("undo")]
        with pytest.raises(Conflict):
            await running.client.cancel(saga_id, reason="too late", by="tester")


async def test_an_undo_that_fails_is_tried_again_and_then_waits_for_a_person(
    running: Running, world: World
) -> None:
    async def cannot(ctx: ActionContext) -> None:
        raise RuntimeError("stuck")

    world.behaviours["b"] = refuse
    world.undo_behaviours["a"] = cannot
    stubborn = SagaDefinition(name="stubborn", steps=(step("a", compensation_retry=AGAIN), step("b", "a")))
    await running.publish(stubborn)
    async with running.serving(*actions(world, "a", "b")):
        state = await running.ended(stubborn, await running.start(stubborn, value=1))
    assert (state.status, state.steps["a"].status) == (SagaStatus.WAITING, StepStatus.COMPENSATION_FAILED)
    assert world.times("undo a") == 3


async def test_a_step_without_compensation_is_left_as_it_is(running: Running, world: World) -> None:
    world.behaviours["b"] = refuse
    await running.publish(CHAIN)
    async with running.serving(world.action("a", compensable=False), *actions(world, "b", "c")):
        state = await running.ended(CHAIN, await running.start(CHAIN, value=1))
    assert (state.status, state.steps["a"].status) == (SagaStatus.COMPENSATED, StepStatus.COMPLETED)


async def test_a_saga_that_has_ended_cannot_be_cancelled(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, saga_id)
    with pytest.raises(Conflict):
        await running.client.cancel(saga_id, reason="too late", by="tester")
    with pytest.raises(NotFound):
        await running.client.cancel("unknown", reason="who", by="tester")
