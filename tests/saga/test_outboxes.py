"""Own events of actions, and starts of sagas, in one transaction with what they tell of."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from contracts.definition import SagaDefinition, Step
from contracts.events import Event, EventMessage
from contracts.failure import Conflict, InvalidContract, NotFound
from events.bus import Bus
from events.database import Database
from events.definitions import Definitions
from events.outbox import MESSAGES
from events.outbox_relay import RelaySettings
from events.timers import armed
from saga.action import Action, ActionContext, StepDatabase, action
from saga.client import StartOptions
from saga.outboxes import open_outbox
from tests.world import Number, Running, World

FAST = RelaySettings(poll_s=0.1)
LONE = SagaDefinition(name="lone", steps=(Step(name="a", action="test.a"),))


class Raised(Event, name="test.raised"):
    by: int


class Lowered(Event, name="test.lowered"):
    by: int


@action("test.raise", database=StepDatabase("raise"), emits=(Raised, Lowered))
async def raise_(ctx: ActionContext, command: Number) -> Number:
    await ctx.emit(Raised(by=command.value))
    return command


@raise_.compensation
async def lower(ctx: ActionContext, command: Number, output: Number | None) -> None:
    await ctx.emit(Lowered(by=command.value), key="lowered")


async def heard(bus: Bus, wanted: int) -> list[tuple[str, EventMessage]]:
    """So many of the services' events, in stream order: the end of the subject, and the envelope."""
    root = bus.subjects.events_root
    subscription = await bus.jetstream.subscribe(f"{root}.>", stream=bus.names.events, ordered_consumer=True)
    found = []
    for _ in range(wanted):
        message = await subscription.next_msg(timeout=20)
        found.append((message.subject.removeprefix(f"{root}."), EventMessage.decode(message.data)))
    await subscription.unsubscribe()
    return found


def two_steps(then: str) -> SagaDefinition:
    return SagaDefinition(
        name=f"raise-then-{then}",
        steps=(
            Step(name="up", action="test.raise", input={"value": "${input.value}"}),
            Step(name="b", action=f"test.{then}", after=("up",)),
        ),
    )


async def test_an_effect_and_its_undo_tell_what_they_did_once_and_in_order(
    running: Running, world: World
) -> None:
    async def refuse(ctx: ActionContext, command: Number) -> Number:
        raise InvalidContract("no")

    world.behaviours["b"] = refuse
    definition = two_steps("b")
    await running.publish(definition)
    async with running.serving(raise_, world.action("b")):
        saga_id = await running.start(definition, value=3)
        assert (await running.ended(definition, saga_id)).status == "compensated"
        (up, raised), (down, lowered) = await heard(running.bus, 2)
    assert (up, down) == (f"test.raised.{saga_id}", "test.lowered.lowered")
    assert (raised.type, raised.data, raised.sagaid) == ("test.raised", {"by": 3}, saga_id)
    assert (raised.source, raised.causationid) == ("/services/test", f"{saga_id}.up")
    assert lowered.data == {"by": 3}


async def test_a_handler_that_fails_after_emitting_has_emitted_nothing(running: Running) -> None:
    tries = 0

    @action("test.shaky", database=StepDatabase("shaky"), emits=(Raised,))
    async def shaky(ctx: ActionContext, command: Number) -> Number:
        nonlocal tries
        tries += 1
        await ctx.emit(Raised(by=tries))
        if tries < 3:
            raise RuntimeError("after emitting")
        return command

    retry = {"kind": "fixed", "max_attempts": 5, "delay_s": 0.01}
    step = Step.model_validate({"name": "s", "action": "test.shaky", "retry": retry})
    definition = SagaDefinition(name="shaky", steps=(step,))
    await running.publish(definition)
    async with running.serving(shaky):
        saga_id = await running.start(definition)
        assert (await running.ended(definition, saga_id)).status == "completed"
        await heard(running.bus, 1)
    info = await running.bus.jetstream.stream_info(running.bus.names.events)
    assert info.state.messages == 2, "one event and one marker"


async def test_an_event_that_was_not_declared_is_refused(running: Running) -> None:
    @action("test.loose", database=StepDatabase("loose"))
    async def loose(ctx: ActionContext, command: Number) -> Number:
        await ctx.emit(Raised(by=1))
        return command

    definition = SagaDefinition(name="loose", steps=(Step(name="s", action="test.loose"),))
    await running.publish(definition)
    async with running.serving(loose):
        state = await running.ended(definition, await running.start(definition))
    failure = state.steps["s"].failure
    assert failure is not None
    assert "does not emit test.raised: declare" in str(failure)


def test_an_action_without_a_database_cannot_emit() -> None:
    async def handler(ctx: ActionContext, command: Number) -> Number:
        return command

    with pytest.raises(InvalidContract, match="needs database"):
        action("test.x", emits=(Raised,))(handler)


@pytest.mark.parametrize("name", ["raised", "test.", "te st.raised", "test.a.b", ".raised"])
def test_an_event_must_be_named_by_domain_and_happening(name: str) -> None:
    with pytest.raises(InvalidContract):
        type("Bad", (Event,), {}, name=name)


@pytest.fixture
async def lone(running: Running, world: World) -> Action:
    await running.publish(LONE)
    return world.action("a")


async def test_a_row_and_the_start_of_its_saga_are_committed_together(
    bus: Bus, definitions: Definitions, database: Database, running: Running, lone: Action
) -> None:
    async with open_outbox(database, bus, definitions, source="/shop", settings=FAST) as outbox:
        async with database.transaction() as session:
            lost = await outbox.start_saga(session, "lone", {"value": 1})
            await session.rollback()
        async with database.transaction() as session:
            await outbox.emit(session, Raised(by=1), key="before")
            kept = await outbox.start_saga(session, "lone", {"value": 1})
            await outbox.emit(session, Raised(by=2), key="after")
        async with running.serving(lone):
            assert (await running.ended(LONE, kept)).status == "completed"
        assert [subject for subject, _ in await heard(bus, 2)] == ["test.raised.before", "test.raised.after"]
    assert await running.facts(lost) == []


async def test_the_same_key_starts_one_saga_whoever_asks(
    bus: Bus, definitions: Definitions, database: Database, running: Running, lone: Action
) -> None:
    key = StartOptions(idempotency_key="order-1")
    async with open_outbox(database, bus, definitions, source="/shop", settings=FAST) as outbox:
        for _ in range(2):
            async with database.transaction() as session:
                saga_id = await outbox.start_saga(session, "lone", {"value": 1}, key)
        async with running.serving(lone):
            await running.ended(LONE, saga_id)
        assert not (await running.client.start("lone", {"value": 1}, key)).created
        async with database.transaction() as session:
            with pytest.raises(Conflict):
                await outbox.start_saga(session, "lone", {"value": 2}, key)
            with pytest.raises(NotFound, match="no definition 'none'"):
                await outbox.start_saga(session, "none", {})


async def test_a_start_that_another_client_has_spoilt_is_noted_and_holds_up_nothing(
    bus: Bus, definitions: Definitions, database: Database, running: Running, lone: Action
) -> None:
    key = StartOptions(idempotency_key="order-1")
    await running.client.start("lone", {"value": 1}, key)
    async with open_outbox(database, bus, definitions, source="/shop", settings=FAST) as outbox:
        async with database.transaction() as session:
            await outbox.start_saga(session, "lone", {"value": 2}, key)
            await outbox.emit(session, Raised(by=1), key="after")
        await heard(bus, 1)
    async with database.transaction() as session:
        rows = (await (await session.connection()).execute(select(MESSAGES.c.refused))).scalars().all()
    assert [bool(reason) for reason in rows] == [True, False]


async def test_a_deadline_is_armed_with_the_start(
    bus: Bus, definitions: Definitions, database: Database, running: Running
) -> None:
    timed = LONE.model_copy(update={"name": "timed", "deadline_s": 3600.0})
    await running.publish(timed)
    async with open_outbox(database, bus, definitions, source="/shop", settings=FAST) as outbox:
        async with database.transaction() as session:
            await outbox.start_saga(session, "timed", {})
            await outbox.emit(session, Raised(by=1), key="after")
        await heard(bus, 1)
    assert await armed(bus) == 1


async def test_many_services_write_and_start_at_once(
    bus: Bus, definitions: Definitions, database: Database, running: Running, lone: Action
) -> None:
    async with open_outbox(database, bus, definitions, source="/shop", settings=FAST) as outbox:

        async def order(number: int) -> str:
            async with database.transaction() as session:
                return await outbox.start_saga(session, "lone", {"value": number})

        saga_ids = await asyncio.gather(*(order(number) for number in range(20)))
        async with running.serving(lone):
            states: list[Any] = [await running.ended(LONE, saga_id) for saga_id in saga_ids]
    assert {state.status for state in states} == {"completed"}
