"""Deadlines and long delays: kept by the server, told by whichever process keeps the time."""

from datetime import timedelta

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind, SagaAborted
from contracts.retries import FixedRetry
from contracts.timers import Timer
from events import timers
from events.clock import utc_now
from events.deadletters import read_dead_letters
from saga.action import ActionContext, Unavailable
from saga.state import SagaStatus, StepStatus
from tests.saga.test_interventions import WHO, Gate
from tests.world import Number, Running, World

SOON = SagaDefinition(
    name="soon",
    steps=(Step(name="a", action="test.a"), Step(name="b", action="test.b", after=("a",))),
    deadline_s=0.4,
)
LATER = FixedRetry(max_attempts=5, delay_s=0.3)
PATIENT = SagaDefinition(
    name="patient",
    steps=(
        Step(name="a", action="test.a"),
        Step(name="b", action="test.b", after=("a",), retry=LATER, compensation_retry=LATER),
        Step(name="c", action="test.c", after=("b",)),
    ),
)


async def down(ctx: ActionContext, command: Number) -> Number:
    raise Unavailable("test.down", "not now")


async def test_a_deadline_turns_the_saga_round(running: Running, world: World) -> None:
    gate = world.behaviours["b"] = Gate()
    await running.publish(SOON)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(SOON, value=1)
        await running.until(SOON, saga_id, lambda state: state.abort is not None)
        gate.open.set()
        state = await running.ended(SOON, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert SagaAborted.model_validate(state.abort).cause == "deadline"
    assert world.done[-2:] == ["undo b", "undo a"]


async def test_a_deadline_that_passed_while_nobody_lived_counts_when_somebody_does(
    running: Running, world: World
) -> None:
    await running.publish(SOON)
    saga_id = await running.start(SOON, value=1)
    # Armed again with a moment that is past, as after a long outage.
    past = Timer(saga_id=saga_id, definition=SOON.ref, due=utc_now() - timedelta(hours=1))
    await timers.arm(running.bus, past)
    world.behaviours["a"] = gate = Gate()
    async with running.serving(world.action("a"), world.action("b")):
        await running.until(SOON, saga_id, lambda state: state.abort is not None)
        gate.open.set()
        assert (await running.ended(SOON, saga_id)).status == SagaStatus.COMPENSATED


async def test_a_saga_that_ended_in_time_is_left_alone_by_its_deadline(
    running: Running, world: World
) -> None:
    await running.publish(SOON)
    async with running.serving(world.action("a"), world.action("b"), world.action("c")):
        saga_id = await running.start(SOON, value=1)
        assert (await running.ended(SOON, saga_id)).status == SagaStatus.COMPLETED
        # A second saga's deadline comes later than the first one's.
        world.behaviours["b"] = gate = Gate()
        other = await running.start(SOON, value=1)
        await running.until(SOON, other, lambda state: state.abort is not None)
        gate.open.set()
        await running.ended(SOON, other)
    assert (await running.state(SOON, saga_id)).status == SagaStatus.COMPLETED
    assert await timers.armed(running.bus) == 0


async def test_a_long_delay_is_kept_by_the_server_and_survives_every_process(
    running: Running, world: World
) -> None:
    world.behaviours["b"] = down
    await running.publish(PATIENT)
    async with running.serving(*(world.action(name) for name in "abc"), park_after_s=0.1):
        saga_id = await running.start(PATIENT, value=1)
        await running.until(PATIENT, saga_id, lambda state: state.steps["b"].status == StepStatus.RETRYING)
    del world.behaviours["b"]
    async with running.serving(*(world.action(name) for name in "abc"), park_after_s=0.1):
        assert (await running.ended(PATIENT, saga_id)).status == SagaStatus.COMPLETED
    facts = [one.fact for one in await running.facts(saga_id) if one.fact.subject == "b"]
    kinds = [fact.kind for fact in facts]
    assert kinds == [FactKind.STARTED, FactKind.ATTEMPT_FAILED, FactKind.WOKEN, FactKind.COMPLETED]
    assert facts[-1].data["attempt"] == 2
    assert world.times("do b") == 2


async def test_a_parked_step_is_undone_when_the_saga_turns_round(running: Running, world: World) -> None:
    world.behaviours["b"] = down
    definition = PATIENT.model_copy(
        update={
            "name": "very-patient",
            "steps": tuple(
                step.model_copy(update={"retry": FixedRetry(delay_s=3600)}) if step.name == "b" else step
                for step in PATIENT.steps
            ),
        }
    )
    await running.publish(definition)
    async with running.serving(*(world.action(name) for name in "abc")):
        saga_id = await running.start(definition, value=1)
        await running.until(definition, saga_id, lambda state: state.steps["b"].status == StepStatus.RETRYING)
        await running.client.cancel(saga_id, **WHO)
        state = await running.ended(definition, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert [what for what in world.done if what.startswith("undo")] == ["undo b", "undo a"]


async def test_a_parked_undo_is_tried_again_at_its_time(running: Running, world: World) -> None:
    tries = 0

    async def undo(ctx: ActionContext) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("test.down", "not now")

    world.behaviours["c"] = down
    world.undo_behaviours["b"] = undo
    await running.publish(PATIENT)
    async with running.serving(*(world.action(name) for name in "abc"), park_after_s=0.1):
        saga_id = await running.start(PATIENT, value=1)
        state = await running.ended(PATIENT, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert world.done[-4:] == ["undo b", "undo b", "undo b", "undo a"]


async def test_a_timer_nobody_can_read_becomes_a_dead_letter(running: Running, world: World) -> None:
    subject = running.bus.names.timer_due("nobody", "a")
    async with running.serving(world.action("a")):
        await running.bus.publisher.send(subject, b"not a timer", {})
        while not (found := await read_dead_letters(running.bus)):
            continue
    assert found[0].payload == b"not a timer"
    assert "not a timer" in found[0].reason
