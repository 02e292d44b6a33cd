"""What people say of running sagas: pause, resume, skip, retry, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.retries import FixedRetry
from saga.action import ActionContext, Refused, StepDatabase, Unavailable
from saga.state import SagaStatus, StepStatus
from tests.world import Number, Running, World

WHO = {"by": "ada", "reason": "the bank has called"}


def step(name: str, *after: str, **options: object) -> Step:
    return Step(name=name, action=f"test.{name}", after=after, **options)


CHAIN = SagaDefinition(name="chain", steps=(step("a"), step("b", "a"), step("c", "b")))
JOIN = SagaDefinition(name="join", steps=(step("a"), step("b"), step("c", "a", "b")))
GIVES_UP = SagaDefinition(
    name="gives-up",
    steps=(
        step("a"),
        step("b", "a", compensation_retry=FixedRetry(max_attempts=2, delay_s=0.01)),
        step("c", "b"),
    ),
)


class Gate:
    """A step that has begun waits here until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, ctx: ActionContext, command: Number) -> Number:
        self.reached.set()
        await self.open.wait()
        return command


def refusing(code: str = "test.no") -> Callable[[ActionContext, Number], Awaitable[Number]]:
    async def refuse(ctx: ActionContext, command: Number) -> Number:
        raise Refused(code, "will not do")

    return refuse


async def cannot_undo(ctx: ActionContext) -> None:
    raise Unavailable("test.down", "cannot undo")


async def held(running: Running, saga_id: str, name: str) -> None:
    await running.until(CHAIN, saga_id, lambda state: state.steps[name].status == StepStatus.HELD)


@asynccontextmanager
async def paused_before_b(running: Running, world: World) -> AsyncIterator[str]:
    """A saga of `CHAIN` that was paused while `a` ran, so that `b` is held."""
    gate = world.behaviours["a"] = Gate()
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(CHAIN, value=1)
        await gate.reached.wait()
        await running.client.pause(saga_id, **WHO)
        await running.intervened(saga_id)
        gate.open.set()
        await held(running, saga_id, "b")
        yield saga_id


async def wait_for_a_person(running: Running, world: World) -> str:
    """A saga whose step `b` could not be undone."""
    world.behaviours["c"] = refusing()
    world.undo_behaviours["b"] = cannot_undo
    saga_id = await running.start(GIVES_UP, value=1)
    assert (await running.ended(GIVES_UP, saga_id)).status == SagaStatus.WAITING
    return saga_id


@pytest.mark.parametrize("definition", [CHAIN, JOIN])
async def test_a_paused_saga_begins_no_step_until_it_is_resumed(
    running: Running, world: World, definition: SagaDefinition
) -> None:
    gate = world.behaviours["a"] = Gate()
    await running.publish(definition)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(definition, value=1)
        await gate.reached.wait()
        await running.client.pause(saga_id, **WHO)
        await running.intervened(saga_id)
        gate.open.set()
        state = await running.until(
            definition, saga_id, lambda state: StepStatus.HELD in {one.status for one in state.steps.values()}
        )
        assert state.status == SagaStatus.PAUSED
        assert state.steps["a"].status == StepStatus.COMPLETED
        assert not world.times("do c")
        await running.client.resume(saga_id, **WHO)
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    assert [world.times(f"do {name}") for name in "abc"] == [1, 1, 1]


async def test_a_pause_outlives_every_process(running: Running, world: World) -> None:
    async with paused_before_b(running, world) as saga_id:
        before = list(world.done)
    async with running.serving(*(world.action(name) for name in "abc")):
        await running.client.resume(saga_id, **WHO)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED
    assert (before, world.times("do b")) == (["do a"], 1)


async def test_a_saga_may_be_paused_and_resumed_again_and_again(running: Running, world: World) -> None:
    gates = {name: Gate() for name in "ab"}
    world.behaviours.update(gates)
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(CHAIN, value=1)
        for name, follower in (("a", "b"), ("b", "c")):
            await gates[name].reached.wait()
            await running.client.pause(saga_id, **WHO)
            await running.intervened(saga_id)
            gates[name].open.set()
            await held(running, saga_id, follower)
            await running.client.resume(saga_id, **WHO)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED
    assert [world.times(f"do {name}") for name in "abc"] == [1, 1, 1]


async def test_a_paused_saga_can_be_cancelled(running: Running, world: World) -> None:
    async with paused_before_b(running, world) as saga_id:
        await running.client.cancel(saga_id, **WHO)
        state = await running.ended(CHAIN, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert (world.times("undo a"), world.times("do b")) == (1, 0)


async def test_a_step_that_is_not_due_yet_is_skipped_when_it_is(running: Running, world: World) -> None:
    gate = world.behaviours["a"] = Gate()
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(CHAIN, value=1)
        await gate.reached.wait()
        await running.client.skip(saga_id, "b", **WHO)
        await running.intervened(saga_id)
        gate.open.set()
        state = await running.ended(CHAIN, saga_id)
    assert state.status == SagaStatus.COMPLETED
    assert state.steps["b"].status == StepStatus.SKIPPED
    assert world.times("do b") == 0
    skipped = next(one.fact for one in await running.facts(saga_id) if one.fact.key == ("b", "skipped"))
    assert (skipped.data["by"], skipped.data["reason"]) == (WHO["by"], WHO["reason"])


async def test_a_step_that_is_held_is_skipped_at_once(running: Running, world: World) -> None:
    async with paused_before_b(running, world) as saga_id:
        await running.client.skip(saga_id, "b", **WHO)
        state = await running.until(CHAIN, saga_id, lambda state: state.steps["c"].status == StepStatus.HELD)
    assert state.steps["b"].status == StepStatus.SKIPPED


async def test_a_step_that_fails_again_and_again_is_skipped_before_its_next_attempt(
    running: Running, world: World
) -> None:
    async def down(ctx: ActionContext, command: Number) -> Number:
        raise Unavailable("test.down", "not now")

    definition = SagaDefinition(
        name="stubborn",
        steps=(step("a"), step("b", "a", retry=FixedRetry(max_attempts=1000, delay_s=0.05)), step("c", "b")),
    )
    world.behaviours["b"] = down
    await running.publish(definition)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(definition, value=1)
        await running.until(definition, saga_id, lambda state: state.steps["b"].status == StepStatus.RETRYING)
        await running.client.skip(saga_id, "b", **WHO)
        state = await running.ended(definition, saga_id)
    assert state.status == SagaStatus.COMPLETED
    assert state.steps["b"].status == StepStatus.SKIPPED


async def test_an_undo_that_failed_is_tried_again_when_a_person_says_so(
    running: Running, world: World
) -> None:
    await running.publish(GIVES_UP)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await wait_for_a_person(running, world)
        tried = world.times("undo b")
        await running.client.retry(saga_id, "b", **WHO)
        await running.until(
            GIVES_UP, saga_id, lambda state: world.times("undo b") == 2 * tried and _waits(state.status)
        )
        del world.undo_behaviours["b"]
        await running.client.retry(saga_id, "b", **WHO)
        state = await running.until(GIVES_UP, saga_id, lambda state: state.ended)
    assert state.status == SagaStatus.COMPENSATED
    assert world.done[-1] == "undo a"
    attempts = [
        one.fact.data["attempt"]
        for one in await running.facts(saga_id)
        if one.fact.kind in (FactKind.ATTEMPT_FAILED, FactKind.COMPENSATION_FAILED)
    ]
    assert attempts == [1, 2, 3, 4]


def _waits(status: SagaStatus) -> bool:
    return status == SagaStatus.WAITING


@pytest.mark.parametrize(
    "options", [{}, {"database": StepDatabase("own")}, {"database": StepDatabase("own"), "external": True}]
)
async def test_an_undo_that_is_given_up_lets_the_wave_go_on_and_the_saga_has_failed(
    running: Running, world: World, options: dict[str, Any]
) -> None:
    await running.publish(GIVES_UP)
    async with running.serving(*(world.action(name, **options) for name in "abc")):
        saga_id = await wait_for_a_person(running, world)
        await running.client.skip(saga_id, "b", **WHO)
        state = await running.until(GIVES_UP, saga_id, lambda state: state.ended)
    assert state.status == SagaStatus.FAILED
    assert state.steps["b"].status == StepStatus.COMPENSATION_SKIPPED
    assert state.steps["a"].status == StepStatus.COMPENSATED


async def test_words_that_make_no_sense_are_refused(running: Running, world: World) -> None:
    gate = world.behaviours["a"] = Gate()
    client = running.client
    await running.publish(CHAIN)
    with pytest.raises(NotFound):
        await client.pause("nobody", **WHO)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(CHAIN, value=1)
        await gate.reached.wait()
        for senseless in (
            client.resume(saga_id, **WHO),
            client.retry(saga_id, "a", **WHO),
        ):
            with pytest.raises(Conflict):
                await senseless
        with pytest.raises(NotFound, match="it has a, b, c"):
            await client.skip(saga_id, "d", **WHO)
        with pytest.raises(InvalidContract):
            await client.pause(saga_id, by="ada", reason=" ")
        await client.pause(saga_id, **WHO)
        with pytest.raises(Conflict):
            await client.pause(saga_id, **WHO)
        await client.resume(saga_id, **WHO)
        gate.open.set()
        await running.ended(CHAIN, saga_id)
        for too_late in (client.pause(saga_id, **WHO), client.skip(saga_id, "a", **WHO)):
            with pytest.raises(Conflict):
                await too_late
