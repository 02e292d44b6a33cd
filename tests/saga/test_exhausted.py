"""What a consumer with a limit of deliveries gives up is buried, whoever listens, and can be redriven."""

import asyncio
from contextlib import AsyncExitStack, suppress

from nats.errors import TimeoutError as NatsTimeout
from nats.js import api

from contracts.definition import SagaDefinition, Step
from contracts.retries import FixedRetry
from events.advisories import Undertaker
from events.bus import Bus
from events.deadletters import CODE_EXHAUSTED, CODE_UNDECODABLE, Wanted
from events.deadletters_codec import DeadLetter, State
from events.names import UNDERTAKER
from saga.action import ActionContext
from saga.dead_letters import DeadLetters, Words
from saga.state import SagaStatus
from tests.world import Number, Running, World

ONE = SagaDefinition(
    name="one",
    steps=(
        Step(
            name="a",
            action="test.a",
            input={"value": "${input.value}"},
            retry=FixedRetry(max_attempts=5, delay_s=0.01),
        ),
    ),
)
BY_ADA = Words(by="ada", reason="the limit is off")


async def buried(bus: Bus, count: int = 1, state: State | None = None) -> list[DeadLetter]:
    letters = DeadLetters(bus)
    async with asyncio.timeout(20):
        while len(page := (await letters.page(Wanted(state=state))).items) < count:
            await asyncio.sleep(0.02)
    return [await letters.get(letter.sequence) for letter in page]


async def give_up(bus: Bus, stream: str, durable: str, subject: str) -> int:
    """Make a consumer with a limit of two deliveries, and let it refuse a message twice."""
    config = api.ConsumerConfig(durable_name=durable, max_deliver=2, ack_wait=30)
    subscription = await bus.jetstream.pull_subscribe(subject, durable, stream=stream, config=config)
    sequence = 0
    for _ in range(2):
        (message,) = await subscription.fetch(1, timeout=10)
        sequence = message.metadata.sequence.stream
        await message.nak(delay=0.01)
    # The server notices the limit when it would deliver once more.
    with suppress(NatsTimeout):
        await subscription.fetch(1, timeout=0.5)
    await subscription.unsubscribe()
    return sequence


async def told(bus: Bus, count: int) -> None:
    async with asyncio.timeout(20):
        while (await bus.jetstream.stream_info(bus.names.advisories)).state.messages < count:
            await asyncio.sleep(0.02)


async def test_what_a_foreign_consumer_gives_up_while_nobody_listens_is_buried_later(
    running: Running,
) -> None:
    bus = running.bus
    await running.publish(ONE)
    saga_id = await running.start(ONE, value=1)
    sequence = await give_up(bus, bus.names.facts(0), "reporting", bus.subjects.partition(0))
    await told(bus, 1)
    async with Undertaker(bus):
        (letter,) = await buried(bus)
    origin = letter.death.origin
    original = await bus.jetstream.get_msg(bus.names.facts(0), seq=sequence)
    assert (letter.code, origin.consumer, origin.sequence) == (CODE_EXHAUSTED, "reporting", sequence)
    assert (letter.payload, origin.subject, origin.headers) == (
        original.data, original.subject, original.headers,
    )  # fmt: skip
    assert (letter.death.saga_id, origin.deliveries) == (saga_id, 2)
    assert "the limit of consumer reporting" in letter.reason


async def test_many_undertakers_bury_once(running: Running) -> None:
    bus = running.bus
    await running.publish(ONE)
    await running.start(ONE, value=1)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(Undertaker(bus))
        await give_up(bus, bus.names.facts(0), "first", bus.subjects.partition(0))
        await give_up(bus, bus.names.facts(0), "second", bus.subjects.partition(0))
        letters = await buried(bus, 2)
    assert {letter.consumer for letter in letters} == {"first", "second"}
    assert len(letters) == 2


async def test_a_foreign_consumer_takes_back_what_it_gave_up(running: Running) -> None:
    bus = running.bus
    await running.publish(ONE)
    await running.start(ONE, value=1)
    await give_up(bus, bus.names.facts(0), "reporting", bus.subjects.partition(0))
    async with Undertaker(bus):
        (letter,) = await buried(bus)
    back = await bus.jetstream.pull_subscribe(
        bus.names.ruling("reporting", "*"), "reporting", stream=bus.names.dead_letters
    )
    await DeadLetters(bus).redrive(letter.sequence, BY_ADA)
    (message,) = await back.fetch(1, timeout=10)
    await back.unsubscribe()
    assert message.data == letter.payload


async def test_an_action_whose_limit_an_operator_set_goes_on_where_it_was_given_up(
    running: Running, world: World
) -> None:
    bus, facts = running.bus, running.bus.names.facts(0)
    gave_up = asyncio.Event()
    deliveries: list[int] = []

    async def twice(ctx: ActionContext, command: Number) -> Number:
        deliveries.append(ctx.attempt)
        if not gave_up.is_set():
            raise RuntimeError("not yet")
        return command

    world.behaviours["a"] = twice
    await running.publish(ONE)
    limited = (await bus.jetstream.consumer_info(facts, "test-a")).config
    async with running.serving(world.action("a")):
        limited.max_deliver = 2
        await bus.jetstream.add_consumer(facts, limited)
        saga_id = await running.start(ONE, value=1)
        (letter,) = await buried(bus)
        assert (letter.code, letter.consumer, deliveries) == (CODE_EXHAUSTED, "test-a", [1, 2])
        gave_up.set()
        await DeadLetters(bus).redrive(letter.sequence, BY_ADA)
        state = await running.ended(ONE, saga_id)
    assert (state.status, state.steps["a"].attempt, deliveries) == (SagaStatus.COMPLETED, 3, [1, 2, 3])


async def test_a_redrive_that_is_given_up_goes_back_to_where_it_lay(running: Running) -> None:
    bus = running.bus
    await running.publish(ONE)
    await running.start(ONE, value=1)
    await give_up(bus, bus.names.facts(0), "reporting", bus.subjects.partition(0))
    async with Undertaker(bus):
        (first,) = await buried(bus)
        rulings = bus.names.ruling("reporting", "*")
        config = api.ConsumerConfig(durable_name="reporting", filter_subject=rulings, max_deliver=2)
        await bus.jetstream.add_consumer(bus.names.dead_letters, config)
        await DeadLetters(bus).redrive(first.sequence, BY_ADA)
        await give_up(bus, bus.names.dead_letters, "reporting", rulings)
        (second,) = await buried(bus, state=State.OPEN)
    assert second.death.earlier == first.sequence
    assert (second.death.origin.stream, second.payload) == (bus.names.facts(0), first.payload)


async def test_a_message_that_is_gone_when_it_is_given_up_is_still_told_of(running: Running) -> None:
    bus = running.bus
    advisory = b'{"stream": "%s", "consumer": "c", "stream_seq": 99, "deliveries": 2}'
    async with Undertaker(bus):
        subject = bus.names.given_up(bus.names.facts(0)).replace("*", "c")
        await bus.publisher.send(subject, advisory % bus.names.facts(0).encode(), {})
        (letter,) = await buried(bus)
    assert (letter.code, letter.payload) == (CODE_EXHAUSTED, b"")
    assert "not in its stream any more" in letter.reason


async def test_an_advisory_nobody_can_read_is_a_letter_itself(running: Running) -> None:
    bus = running.bus
    async with Undertaker(bus):
        subject = bus.names.given_up(bus.names.facts(0)).replace("*", "c")
        await bus.publisher.send(subject, b"[1]", {})
        (letter,) = await buried(bus)
    assert (letter.code, letter.consumer, letter.payload) == (CODE_UNDECODABLE, UNDERTAKER, b"[1]")
