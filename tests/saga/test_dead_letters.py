"""Dead letters are heard again by the consumer that buried them, once, and change nothing twice."""

import asyncio

import pytest

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from contracts.failure import Conflict, InvalidContract, NotFound
from events.bus import Bus
from events.deadletters import (
    CODE_EXHAUSTED,
    CODE_UNDECODABLE,
    CODE_UNKNOWN_DEFINITION,
    Wanted,
    bury,
    list_dead_letters,
)
from events.deadletters_codec import DeadLetter, Origin, State
from events.names import TIMEKEEPER
from events.streams import apply_redrives
from saga.dead_letters import DeadLetters, Words
from saga.participant import Participant
from saga.state import SagaStatus
from tests.world import Running, World

BY_ADA = Words(by="ada", reason="the definition is there now")


def chain(version: str = "1") -> SagaDefinition:
    return SagaDefinition(
        name="chain",
        version=version,
        steps=(
            Step(name="a", action="test.a", input={"value": "${input.value}"}),
            Step(name="b", action="test.b", after=("a",), input={"value": "${steps.a.value}"}),
        ),
    )


@pytest.fixture
def letters(bus: Bus) -> DeadLetters:
    return DeadLetters(bus)


async def buried(letters: DeadLetters, count: int = 1, **wanted: object) -> list[DeadLetter]:
    """The letters, as soon as there are so many."""
    async with asyncio.timeout(20):
        while len(found := (await letters.page(Wanted(**wanted))).items) < count:  # type: ignore[arg-type]
            await asyncio.sleep(0.02)
    return found


async def start_unknown(running: Running, saga_id: str = "s-unknown") -> None:
    """A start of a version nobody has published yet, stated as another process may state it."""
    known = (await running.facts(await running.start(chain(), value=1)))[0].fact
    fact = known.model_copy(update={"definition": "chain@2", "sagaid": saga_id, "id": f"{saga_id}-start"})
    subject = running.bus.subjects.fact("chain", "_saga", "started", saga_id)
    await running.bus.publisher.state(subject, fact)


async def bury_a_fact(running: Running, saga_id: str, consumer: str, kind: str = "started") -> int:
    """Have a fact of a saga lie among the dead letters as if `consumer` had buried it."""
    fact = next(one for one in await running.facts(saga_id) if one.fact.kind == kind)
    origin = Origin(
        consumer=consumer,
        stream=running.bus.names.facts(0),
        sequence=fact.sequence,
        subject=running.bus.subjects.fact(fact.fact.saga, *fact.fact.key, saga_id),
        deliveries=3,
    )
    return await bury(running.bus, origin, fact.fact.encode(), code=CODE_EXHAUSTED, reason="tried in vain")


async def test_a_saga_of_a_missing_version_completes_once_it_is_published_and_redriven(
    running: Running, world: World, letters: DeadLetters
) -> None:
    await running.publish(chain())
    async with running.serving(world.action("a"), world.action("b")):
        await start_unknown(running)
        (letter,) = await buried(letters)
        assert (letter.code, letter.death.saga_id) == (CODE_UNKNOWN_DEFINITION, "s-unknown")
        await running.publish(chain("2"))
        ruled = await letters.redrive(letter.sequence, BY_ADA)
        assert (await running.ended(chain("2"), "s-unknown")).status == SagaStatus.COMPLETED
    assert ruled.changed
    assert (await letters.get(letter.sequence)).state is State.REDRIVEN


async def test_a_redrive_before_anybody_listens_is_heard_later(
    running: Running, world: World, letters: DeadLetters
) -> None:
    await running.publish(chain())
    async with running.serving(world.action("a"), world.action("b")):
        await start_unknown(running)
        (letter,) = await buried(letters)
    await running.publish(chain("2"))
    await letters.redrive(letter.sequence, BY_ADA)
    async with running.serving(world.action("a"), world.action("b")):
        assert (await running.ended(chain("2"), "s-unknown")).status == SagaStatus.COMPLETED


async def test_what_fails_again_is_a_letter_again_with_its_history(
    running: Running, world: World, letters: DeadLetters
) -> None:
    await running.publish(chain())
    async with running.serving(world.action("a"), world.action("b")):
        await start_unknown(running)
        (first,) = await buried(letters)
        await letters.redrive(first.sequence, BY_ADA)
        (second,) = await buried(letters, state=State.OPEN)
    assert second.death.origin == first.death.origin
    assert second.death.earlier == first.sequence
    assert [earlier.sequence for earlier in await letters.history(second)] == [first.sequence]


async def test_many_redrives_at_once_are_one(running: Running, world: World, letters: DeadLetters) -> None:
    await running.publish(chain())
    async with running.serving(world.action("a"), world.action("b")):
        await start_unknown(running)
        (letter,) = await buried(letters)
        await running.publish(chain("2"))
        ruled = await asyncio.gather(
            *(letters.redrive(letter.sequence, Words(by=f"p{n}", reason="now")) for n in range(20))
        )
        assert (await running.ended(chain("2"), "s-unknown")).status == SagaStatus.COMPLETED
        again = await letters.redrive(letter.sequence, BY_ADA)
    assert [one.changed for one in ruled].count(True) == 1
    assert len({one.ruling.id for one in [*ruled, again]}) == 1
    assert not again.changed
    facts = await running.facts("s-unknown")
    assert [one.fact.key for one in facts].count(("a", "completed")) == 1


async def test_only_the_consumer_that_buried_it_hears_it_again(
    running: Running, world: World, letters: DeadLetters
) -> None:
    fork = SagaDefinition(
        name="fork",
        steps=(
            Step(name="a", action="test.a", input={"value": "${input.value}"}),
            Step(name="b", action="test.b", input={"value": "${input.value}"}),
        ),
    )
    heard: list[str] = []

    class Listening(Participant):
        async def hear(self, delivery: object) -> None:
            heard.append(f"{self.action.name} {delivery.stream}")  # type: ignore[attr-defined]
            await super().hear(delivery)  # type: ignore[arg-type]

    await running.publish(fork)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saga.service.Participant", Listening)
        async with running.serving(world.action("a"), world.action("b")):
            saga_id = await running.start(fork, value=1)
            await running.ended(fork, saga_id)
            sequence = await bury_a_fact(running, saga_id, "test-a")
            before = len(heard)
            await letters.redrive(sequence, BY_ADA)
            await acknowledged(running.bus, "test-a")
    # The outcome of this saga is stated by the log only, so nothing else is under way.
    assert heard[before:] == [f"test.a {running.bus.names.facts(0)}"]
    assert sorted(world.done) == ["do a", "do b"]


async def acknowledged(bus: Bus, consumer: str) -> None:
    """Wait until a consumer of redrives has nothing left to hear."""
    async with asyncio.timeout(20):
        while True:
            info = await bus.jetstream.consumer_info(bus.names.dead_letters, consumer)
            if not info.num_pending and not info.num_ack_pending:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["started", "completed"])
async def test_a_saga_that_has_ended_otherwise_is_left_as_it_is(
    running: Running, world: World, letters: DeadLetters, kind: str
) -> None:
    await running.publish(chain())
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(chain(), value=1)
        await running.ended(chain(), saga_id)
        sequence = await bury_a_fact(running, saga_id, "test-a" if kind == "started" else "test-b", kind)
        facts = len(await running.facts(saga_id))
        await letters.redrive(sequence, BY_ADA)
        await acknowledged(running.bus, "test-a")
        await acknowledged(running.bus, "test-b")
        assert len(await running.facts(saga_id)) == facts
    assert world.done == ["do a", "do b"]


async def test_a_saga_that_turned_round_meanwhile_is_not_driven_forward(
    running: Running, world: World, letters: DeadLetters
) -> None:
    await running.publish(chain())
    saga_id = await running.start(chain(), value=1)
    sequence = await bury_a_fact(running, saga_id, "test-a")
    await running.client.cancel(saga_id, reason="too late", by="ada")
    async with running.serving(world.action("a"), world.action("b")):
        await letters.redrive(sequence, BY_ADA)
        await acknowledged(running.bus, "test-a")
    assert not world.done
    assert (await running.state(chain(), saga_id)).status == SagaStatus.COMPENSATED


async def test_a_dropped_letter_stays_readable_and_cannot_be_redriven(
    running: Running, world: World, letters: DeadLetters
) -> None:
    await running.publish(chain())
    saga_id = await running.start(chain(), value=1)
    sequence = await bury_a_fact(running, saga_id, "test-a")
    await letters.drop(sequence, Words(by="ada", reason="a test of the bank"))
    dropped = await letters.get(sequence)
    assert dropped.ruling is not None
    assert (dropped.state, dropped.ruling.by, dropped.ruling.reason) == (
        State.DROPPED, "ada", "a test of the bank",
    )  # fmt: skip
    assert dropped.payload
    with pytest.raises(Conflict, match="was dropped by ada"):
        await letters.redrive(sequence, BY_ADA)
    assert not (await letters.drop(sequence, BY_ADA)).changed
    # The server may deliver again what was acknowledged: that digs nothing up.
    assert await bury_a_fact(running, saga_id, "test-a") == sequence
    async with running.serving(world.action("b")):
        await apply_redrives(running.bus, ["test-a"])
    async with running.serving(world.action("a"), world.action("b")):
        await running.ended(chain(), saga_id)
        await acknowledged(running.bus, "test-a")
    assert world.times("do a") == 1


async def test_a_redriven_letter_cannot_be_dropped(running: Running, letters: DeadLetters) -> None:
    await running.publish(chain())
    sequence = await bury_a_fact(running, await running.start(chain(), value=1), "test-a")
    await apply_redrives(running.bus, ["test-a"])
    await letters.redrive(sequence, BY_ADA)
    with pytest.raises(Conflict, match="was redriven by ada"):
        await letters.drop(sequence, BY_ADA)


async def test_the_same_message_lies_there_once_whoever_buries_it(running: Running) -> None:
    await running.publish(chain())
    saga_id = await running.start(chain(), value=1)
    sequences = await asyncio.gather(*(bury_a_fact(running, saga_id, "test-a") for _ in range(20)))
    assert len(set(sequences)) == 1
    assert len(await list_dead_letters(running.bus, Wanted(), limit=10)) == 1


async def test_a_redrive_nobody_would_hear_is_refused_with_the_remedy(
    running: Running, letters: DeadLetters
) -> None:
    await running.publish(chain())
    sequence = await bury_a_fact(running, await running.start(chain(), value=1), "reporting")
    with pytest.raises(Conflict, match="make a durable consumer reporting on stream"):
        await letters.redrive(sequence, BY_ADA)
    assert (await letters.get(sequence)).state is State.OPEN


async def test_a_message_that_has_left_its_stream_cannot_be_redriven(
    running: Running, letters: DeadLetters
) -> None:
    await apply_redrives(running.bus, ["test-a"])
    origin = Origin(
        consumer="test-a", stream=running.bus.names.facts(0), sequence=77, subject="x", deliveries=1
    )
    sequence = await bury(running.bus, origin, b"{", code=CODE_UNDECODABLE, reason="no JSON")
    with pytest.raises(Conflict, match="has left stream"):
        await letters.redrive(sequence, BY_ADA)


async def test_a_timer_is_redriven_to_whoever_keeps_the_time(
    running: Running, world: World, letters: DeadLetters
) -> None:
    subject = running.bus.names.timer_due("nobody", "a")
    async with running.serving(world.action("a")):
        await running.bus.publisher.send(subject, b"not a timer", {})
        (first,) = await buried(letters)
        assert (first.consumer, first.death.saga_id) == (TIMEKEEPER, "nobody")
        await letters.redrive(first.sequence, BY_ADA)
        (second,) = await buried(letters, state=State.OPEN)
        await acknowledged(running.bus, TIMEKEEPER)
    assert second.death.earlier == first.sequence


async def test_who_and_why_must_be_said() -> None:
    with pytest.raises(InvalidContract, match="by: who decides"):
        Words(by=" ", reason="because")


@pytest.mark.parametrize("sequence", [1, 7, 10**15])
async def test_a_letter_that_does_not_exist_is_not_found(letters: DeadLetters, sequence: int) -> None:
    with pytest.raises(NotFound, match=f"no dead letter {sequence}"):
        await letters.get(sequence)


async def test_a_ruling_is_no_letter(running: Running, letters: DeadLetters) -> None:
    await running.publish(chain())
    sequence = await bury_a_fact(running, await running.start(chain(), value=1), "test-a")
    await letters.drop(sequence, BY_ADA)
    with pytest.raises(NotFound):
        await letters.get(sequence + 1)


async def test_what_a_stranger_sends_to_the_dead_letters_disturbs_nobody(
    running: Running, world: World, letters: DeadLetters
) -> None:
    names = running.bus.names
    await running.publish(chain())
    await running.bus.publisher.send(names.letter("test-a", "S", 1), b"", {"Saga-Dead-Letter": "{"})
    await running.bus.publisher.send(names.ruling("test-a", 1), b"", {})
    sequence = await bury_a_fact(running, await running.start(chain(), value=1), "test-a")
    async with running.serving(world.action("a"), world.action("b")):
        await acknowledged(running.bus, "test-a")
    assert [letter.sequence for letter in (await letters.page(Wanted())).items] == [sequence]
    with pytest.raises(NotFound):
        await letters.get(1)


async def test_letters_are_filtered_and_paged_without_gaps(running: Running, letters: DeadLetters) -> None:
    for number in range(1, 8):
        origin = Origin(
            consumer="odd" if number % 2 else "even",
            stream="S",
            sequence=number,
            subject=running.bus.subjects.fact("chain", "a", FactKind.COMPLETED, f"s{number}"),
            deliveries=1,
        )
        code = CODE_EXHAUSTED if number > 5 else CODE_UNDECODABLE
        await bury(running.bus, origin, b"x" * number, code=code, reason="ümlaut\nand line")
    await letters.drop(1, BY_ADA)

    async def found(**wanted: object) -> list[int]:
        return [one.sequence for one in (await letters.page(Wanted(**wanted))).items]  # type: ignore[arg-type]

    assert await found() == [1, 2, 3, 4, 5, 6, 7]
    assert await found(consumer="odd") == [1, 3, 5, 7]
    assert await found(codes=(CODE_EXHAUSTED,)) == [6, 7]
    assert await found(saga_id="s3") == [3]
    assert await found(state=State.OPEN, consumer="odd") == [3, 5, 7]
    assert await found(state=State.DROPPED) == [1]
    fourth = (await letters.get(4)).buried_at
    assert await found(since=fourth) == [4, 5, 6, 7]
    paged, after = [], 0
    while True:
        page = await letters.page(Wanted(), after=after, limit=3)
        paged += [(one.sequence, one.size, one.reason) for one in page.items]
        if page.next_after is None:
            break
        after = page.next_after
    assert paged == [(number, number, "ümlaut\nand line") for number in range(1, 8)]


async def test_many_letters_are_decided_about_at_once(running: Running, letters: DeadLetters) -> None:
    await running.publish(chain())
    await apply_redrives(running.bus, ["test-a"])
    saga_ids = [await running.start(chain(), value=n) for n in range(5)]
    mine = [await bury_a_fact(running, saga_id, "test-a") for saga_id in saga_ids]
    foreign = await bury_a_fact(running, saga_ids[0], "reporting")
    dry = await letters.rule_all(State.REDRIVEN, Wanted(), BY_ADA, limit=4, dry_run=True)
    assert (dry.matched, dry.done, dry.next_after) == (mine[:4], [], mine[3])
    done = await letters.rule_all(State.REDRIVEN, Wanted(), BY_ADA, limit=100, dry_run=False)
    assert (done.done, list(done.refused), done.next_after) == (mine, [foreign], None)
    dropped = await letters.rule_all(State.DROPPED, Wanted(), BY_ADA, limit=100, dry_run=False)
    assert dropped.done == [foreign]
