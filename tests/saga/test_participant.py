"""Participants on a real server: each test is a promise of the design's rules."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlmodel import Field, SQLModel, select

from contracts.definition import SagaDefinition
from contracts.facts import FactKind
from contracts.failure import Conflict
from contracts.retries import FixedRetry
from events.streams import declare, topology_lock
from saga.action import ActionContext, StepDatabase, Unavailable
from saga.client import StartOptions
from saga.state import SagaStatus, StepStatus
from tests.saga.small import CHAIN, DIAMOND, actions, refuse, step
from tests.world import Number, Running, World


async def test_a_chain_hands_its_data_on(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        state = await running.ended(CHAIN, saga_id)
    assert state.status == SagaStatus.COMPLETED
    facts = {one.fact.key: one.fact.data for one in await running.facts(saga_id)}
    assert facts["c", FactKind.COMPLETED]["output"] == {"value": 4}


async def test_a_join_runs_once_after_all_it_follows(running: Running, world: World) -> None:
    await running.publish(DIAMOND)
    async with running.serving(*actions(world, "a", "b", "c", "d")):
        sagas = [await running.start(DIAMOND, value=number) for number in range(10)]
        for saga_id in sagas:
            assert (await running.ended(DIAMOND, saga_id)).status == SagaStatus.COMPLETED
    assert world.times("do d") == len(sagas)


async def test_a_failed_attempt_is_stated_and_tried_again(running: Running, world: World) -> None:
    async def at_the_third(ctx: ActionContext, command: Number) -> Number:
        if ctx.attempt < 3:
            raise Unavailable("test.down", "not now")
        return command

    world.behaviours["b"] = at_the_third
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED
    attempts = [
        one.fact.data["attempt"]
        for one in await running.facts(saga_id)
        if one.fact.key == ("b", FactKind.ATTEMPT_FAILED)
    ]
    assert attempts == [1, 2]


async def test_attempts_and_delay_survive_a_restart_of_the_participant(
    running: Running, world: World
) -> None:
    failed = asyncio.Event()

    async def fail_once(ctx: ActionContext, command: Number) -> Number:
        if ctx.attempt == 1:
            failed.set()
            raise Unavailable("test.down", "not now")
        return Number(value=ctx.attempt)

    world.behaviours["b"] = fail_once
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "c")):
        async with running.serving(*actions(world, "b")):
            saga_id = await running.start(CHAIN, value=1)
            await failed.wait()
            await running.until(CHAIN, saga_id, lambda state: state.steps["b"].status == StepStatus.RETRYING)
        async with running.serving(*actions(world, "b")):
            assert (await running.ended(CHAIN, saga_id)).steps["b"].attempt == 2


async def test_a_condition_that_is_false_skips_the_step(running: Running, world: World) -> None:
    choosy = SagaDefinition(
        name="choosy",
        steps=(step("a"), step("b", "a", when="input.value > 10"), step("c", "b", source="${steps.a.value}")),
    )
    await running.publish(choosy)
    async with running.serving(*actions(world, "a", "b", "c")):
        state = await running.ended(choosy, await running.start(choosy, value=1))
    assert (state.status, state.steps["b"].status) == (SagaStatus.COMPLETED, StepStatus.SKIPPED)
    assert world.done == ["do a", "do c"]


async def test_a_condition_that_cannot_be_evaluated_fails_the_step(running: Running, world: World) -> None:
    broken = SagaDefinition(name="broken", steps=(step("a"), step("b", "a", when="input.nothing > 10")))
    await running.publish(broken)
    async with running.serving(*actions(world, "a", "b")):
        state = await running.ended(broken, await running.start(broken, value=1))
    assert state.status == SagaStatus.COMPENSATED
    assert (state.steps["b"].failure or {})["code"] == "step.condition_invalid"


async def test_a_failure_that_does_not_abort_lets_the_saga_go_on(running: Running, world: World) -> None:
    world.behaviours["b"] = refuse
    tolerant = SagaDefinition(
        name="tolerant",
        steps=(step("a"), step("b", "a", on_error="continue"), step("c", "b", source="${steps.a.value}")),
    )
    await running.publish(tolerant)
    async with running.serving(*actions(world, "a", "b", "c")):
        state = await running.ended(tolerant, await running.start(tolerant, value=1))
    assert (state.status, state.steps["b"].status) == (SagaStatus.COMPLETED, StepStatus.FAILED)


class Booking(SQLModel, table=True):
    __tablename__ = "test_bookings"

    number: int | None = Field(default=None, primary_key=True)
    saga_id: str


async def test_an_effect_in_the_database_happens_once_whatever_is_delivered_again(
    running: Running, world: World
) -> None:
    database = StepDatabase("bookings", tables=(Booking,))

    async def book(ctx: ActionContext, command: Number) -> Number:
        ctx.db.add(Booking(saga_id=ctx.saga_id))
        await ctx.db.flush()
        return command

    counted: list[int] = []

    async def count(ctx: ActionContext, command: Number) -> Number:
        counted.append(len((await ctx.db.exec(select(Booking))).all()))
        return command

    world.behaviours |= {"a": book, "b": count}
    await running.publish(CHAIN)
    a = world.action("a", database=database)
    b = world.action("b", database=database)
    async with running.serving(a, b, *actions(world, "c")):
        saga_id = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, saga_id)
        started = (await running.facts(saga_id))[0]
        # The same fact, stored twice by the server under another message id.
        subject = running.bus.subjects.fact("chain", "_saga", "started", saga_id)
        await running.bus.publisher.send(subject, started.fact.encode(), {"Nats-Msg-Id": "again"})
        second = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, second)
    assert counted == [1, 2]


async def test_the_same_key_starts_one_saga(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    options = StartOptions(idempotency_key="order-7")
    first = await running.client.start("chain", {"value": 1}, options)
    again = await running.client.start("chain", {"value": 1}, options)
    assert (first.saga_id, first.created, again.created) == (again.saga_id, True, False)
    with pytest.raises(Conflict):
        await running.client.start("chain", {"value": 2}, options)


async def test_a_version_cannot_change_its_content(running: Running) -> None:
    await running.publish(CHAIN)
    await running.publish(CHAIN)
    with pytest.raises(Conflict, match="publish it as a new version"):
        await running.publish(CHAIN.model_copy(update={"description": "another"}))


async def test_a_definition_may_arrive_while_participants_run(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        await running.publish(DIAMOND.model_copy(update={"name": "late", "steps": CHAIN.steps[:2]}))
        late = await running.definitions.fetch("late@1")
        assert late is not None
        assert (await running.ended(late, await running.start(late, value=1))).status == SagaStatus.COMPLETED


async def test_facts_stated_before_a_participant_runs_are_not_lost(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    saga_id = await running.start(CHAIN, value=1)
    async with running.serving(*actions(world, "a", "b", "c")):
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED


async def test_declaring_the_topology_again_changes_nothing(running: Running) -> None:
    assert await declare(running.bus) == []


async def test_an_open_breaker_defers_without_spending_attempts(running: Running, world: World) -> None:
    down = True

    async def through_a_breaker(ctx: ActionContext, command: Number) -> Number:
        async with ctx.breaker("other-side"):
            if down:
                raise Unavailable("test.down", "not now")
        return command

    world.behaviours["b"] = through_a_breaker
    patient = SagaDefinition(
        name="patient", steps=(step("a"), step("b", "a", retry=FixedRetry(max_attempts=2, delay_s=0.01)))
    )
    await running.publish(patient)
    breaker = {"breaker_failure_threshold": 1, "breaker_reset_timeout_s": 0.3}
    async with running.serving(*actions(world, "a", "b"), **breaker):
        saga_id = await running.start(patient, value=1)
        await running.until(patient, saga_id, lambda state: state.steps["b"].status == StepStatus.RETRYING)
        down = False
        state = await running.ended(patient, saga_id)
    assert (state.status, state.steps["b"].attempt) == (SagaStatus.COMPLETED, 2)


async def test_facts_carry_time_cause_and_trace(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with running.serving(*actions(world, "a", "b", "c")):
        options = StartOptions(traceparent=trace, correlation_id="order-7")
        started = await running.client.start("chain", {"value": 1}, options)
        await running.ended(CHAIN, started.saga_id)
    facts = [one.fact for one in await running.facts(started.saga_id)]
    assert {(fact.traceparent, fact.correlationid) for fact in facts} == {(trace, "order-7")}
    ids = {fact.id for fact in facts}
    assert all(fact.causationid in ids for fact in facts[1:])
    assert all(fact.time.utcoffset() == datetime.now(UTC).utcoffset() for fact in facts)


async def test_a_restart_does_not_wait_for_the_lock_of_a_process_that_was_killed(
    running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        await running.ended(CHAIN, await running.start(CHAIN, value=1))
    held = topology_lock(running.bus)
    await held.__aenter__()
    try:
        async with asyncio.timeout(5):
            await running.publish(CHAIN)
            async with running.serving(*actions(world, "a", "b", "c")):
                await running.ended(CHAIN, await running.start(CHAIN, value=1))
    finally:
        await held.__aexit__(None, None, None)
