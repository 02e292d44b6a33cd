"""Participants on a real server: each test is a promise of the design's rules."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import Field, SQLModel, select

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.retries import FixedRetry
from events.deadletters import (
    CODE_UNDECODABLE,
    CODE_UNKNOWN_DEFINITION,
    CODE_WRONG_SUBJECT,
    read_dead_letters,
)
from events.deadletters_codec import DeadLetter
from events.streams import declare
from saga.action import ActionContext, Refused, StepDatabase, Unavailable
from saga.client import StartOptions
from saga.state import SagaStatus, StepStatus
from tests.world import Number, Running, World

AGAIN = FixedRetry(max_attempts=3, delay_s=0.05)


def step(name: str, *after: str, source: str = "${input.value}", **options: Any) -> Step:
    return Step(name=name, action=f"test.{name}", after=after, input={"value": source}, **options)


CHAIN = SagaDefinition(
    name="chain",
    steps=(
        step("a"),
        step("b", "a", source="${steps.a.value}", retry=AGAIN),
        step("c", "b", source="${steps.b.value}", retry=AGAIN),
    ),
)
DIAMOND = SagaDefinition(
    name="diamond",
    steps=(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c", source="${steps.b.value}")),
)


async def refuse(ctx: ActionContext, command: Number) -> Number:
    raise Refused("test.no", "will not do")


def actions(world: World, *names: str) -> list[Any]:
    return [world.action(name) for name in names]


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


async def test_starting_what_does_not_exist_says_what_there_is(running: Running) -> None:
    await running.publish(CHAIN)
    with pytest.raises(NotFound, match="chain@1"):
        await running.client.start("chian", {})
    with pytest.raises(NotFound):
        await running.client.start("chain@9", {})


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


async def buried(running: Running) -> DeadLetter:
    async with asyncio.timeout(10):
        while not (letters := await read_dead_letters(running.bus)):
            await asyncio.sleep(0.02)
    return letters[0]


async def poison(running: Running, payload: bytes, saga_id: str = "poisoned") -> None:
    subject = running.bus.subjects.fact("chain", "_saga", "started", saga_id)
    await running.bus.publisher.send(subject, payload, {"Nats-Msg-Id": f"poison-{saga_id}"})


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{ not json", CODE_UNDECODABLE),
        (b"\xff\xfe\x00", CODE_UNDECODABLE),
        (b'{"specversion": "1.0"}', CODE_UNDECODABLE),
    ],
)
async def test_a_poison_message_becomes_a_dead_letter_and_others_go_on(
    running: Running, world: World, payload: bytes, code: str
) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        await poison(running, payload)
        saga_id = await running.start(CHAIN, value=1)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED
        letter = await buried(running)
    assert (letter.code, letter.payload, letter.consumer) == (code, payload, "test-a")


async def test_facts_of_unknown_versions_wrong_types_and_wrong_subjects_become_dead_letters(
    running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    started = (await running.facts(await running.start(CHAIN, value=1)))[0].fact
    unknown = started.model_copy(update={"definition": "chain@99", "sagaid": "s1"})
    untyped = started.model_copy(update={"data": {"input": 7}, "sagaid": "s2"})
    elsewhere = started.model_copy(update={"sagaid": "s4"})
    for fact, saga_id in ((unknown, "s1"), (untyped, "s2"), (elsewhere, "s3")):
        await poison(running, fact.encode(), saga_id)
    async with running.serving(*actions(world, "a", "b", "c")), asyncio.timeout(10):
        while len(letters := await read_dead_letters(running.bus)) < 3:
            await asyncio.sleep(0.02)
    assert {letter.code for letter in letters} == {
        CODE_UNKNOWN_DEFINITION,
        CODE_UNDECODABLE,
        CODE_WRONG_SUBJECT,
    }


async def test_an_oversize_input_is_refused_before_it_is_sent(running: Running) -> None:
    await running.publish(CHAIN)
    with pytest.raises(InvalidContract, match="larger than the limit"):
        await running.client.start("chain", {"value": 1, "text": "x" * 300_000})


async def test_illegal_subject_tokens_are_refused(running: Running) -> None:
    await running.publish(CHAIN)
    with pytest.raises(InvalidContract, match="is no subject token"):
        await running.client.start("chain", {"value": 1}, StartOptions(saga_id="a.b *"))


async def test_an_input_that_does_not_fit_fails_the_step_with_the_place(
    running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        state = await running.ended(CHAIN, await running.start(CHAIN, value="many"))
    failure = state.steps["a"].failure or {}
    assert (failure["code"], "/value" in failure["message"]) == ("step.input_invalid", True)


async def test_a_saga_that_has_ended_cannot_be_cancelled(running: Running, world: World) -> None:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, saga_id)
    with pytest.raises(Conflict):
        await running.client.cancel(saga_id, reason="too late", by="tester")
    with pytest.raises(NotFound):
        await running.client.cancel("unknown", reason="who", by="tester")


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
