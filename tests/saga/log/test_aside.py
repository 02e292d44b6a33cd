"""What the log cannot apply is a dead letter of the log's own, and is applied in its place when redriven."""

import asyncio
from pathlib import Path

from contracts.definition import SagaDefinition, Step
from contracts.facts import STARTED_KEY, Fact
from events.bus import Bus
from events.deadletters import CODE_UNDECODABLE, CODE_UNKNOWN_DEFINITION, Wanted
from events.deadletters_codec import DeadLetter, State
from events.names import SAGA_LOG
from events.publish import Fence
from saga.api.app import open_parts
from saga.dead_letters import DeadLetters, Words
from saga.state import SagaStatus
from tests.world import Running, World

BY_ADA = Words(by="ada", reason="the version is there now")


def simple(version: str = "1") -> SagaDefinition:
    steps = (
        Step(name="a", action="test.a", input={"value": "${input.value}"}),
        Step(name="b", action="test.b", after=("a",), input={"value": "${steps.a.value}"}),
    )
    return SagaDefinition(name="simple", version=version, steps=steps)


def log_url(data: Path) -> str:
    return f"sqlite+aiosqlite:///{data / 'log.db'}"


async def buried(bus: Bus, count: int = 1, **wanted: object) -> list[DeadLetter]:
    async with asyncio.timeout(20):
        while True:
            page = await DeadLetters(bus).page(Wanted(consumer=SAGA_LOG, **wanted))  # type: ignore[arg-type]
            if len(page.items) >= count:
                return page.items
            await asyncio.sleep(0.02)


async def redrive(letters: DeadLetters, consumer: str) -> None:
    wanted = Wanted(saga_id="s2", consumer=consumer)
    done = await letters.rule_all(State.REDRIVEN, wanted, BY_ADA, limit=10, dry_run=False)
    assert (len(done.done), done.refused) == (1, {})


async def a_start(running: Running) -> Fact:
    return (await running.facts(await running.start(simple(), value=1)))[0].fact


async def test_a_saga_nobody_knows_is_not_passed_over_in_silence(running: Running, data: Path) -> None:
    await running.publish(simple())
    fact = (await a_start(running)).model_copy(
        update={"definition": "nobody@1", "sagaid": "s1", "id": "s1-start"}
    )
    subject = running.bus.subjects.fact("nobody", "_saga", "started", "s1")
    await running.bus.publisher.state(subject, fact)
    async with open_parts(running.bus, running.definitions, log_url(data)) as parts:
        (letter,) = await buried(running.bus)
        await parts.log.caught_up()
        assert (letter.code, letter.reason) == (CODE_UNKNOWN_DEFINITION, "no definition nobody@1")
        assert (letter.death.origin.subject, letter.death.saga_id) == (subject, "s1")
        (rejected,) = await parts.queries.rejected()
        assert rejected["sequence"] == letter.death.origin.sequence


async def test_the_log_tells_the_whole_story_once_the_version_is_there_and_all_was_redriven(
    running: Running, world: World, data: Path
) -> None:
    bus, letters = running.bus, DeadLetters(running.bus)
    await running.publish(simple())
    fact = (await a_start(running)).model_copy(
        update={"definition": "simple@2", "sagaid": "s2", "id": "s2-start"}
    )
    async with (
        open_parts(bus, running.definitions, log_url(data)) as parts,
        running.serving(world.action("a"), world.action("b")),
    ):
        await bus.publisher.state(bus.subjects.fact("simple", "_saga", "started", "s2"), fact)
        async with asyncio.timeout(20):
            while len((await letters.page(Wanted(saga_id="s2"))).items) < 2:
                await asyncio.sleep(0.02)
        await running.publish(simple("2"))
        # The participant first: the log hears the later facts of the saga before it has its start.
        await redrive(letters, "test-a")
        state = await running.ended(simple("2"), "s2")
        await parts.log.caught_up()
        assert (await parts.queries.get("s2")).saga["input"] is None
        await redrive(letters, SAGA_LOG)
        async with asyncio.timeout(20):
            while await parts.queries.rejected():
                await asyncio.sleep(0.02)
        view = await parts.queries.get("s2")
        told = await parts.queries.facts("s2")
    assert state.status == SagaStatus.COMPLETED
    assert view.saga["input"] == {"value": 1}
    assert (view.saga["status"], view.saga["sequence"]) == ("completed", told[-1].sequence)
    assert {step["step"]: step["status"] for step in view.steps} == dict.fromkeys("ab", "completed")
    assert [one.fact.key for one in told[:2]] == [STARTED_KEY, ("a", "started")]


async def test_what_still_cannot_be_applied_is_a_letter_again(running: Running, data: Path) -> None:
    letters = DeadLetters(running.bus)
    await running.publish(simple())
    subject = running.bus.subjects.fact("simple", "a", "completed", "s3")
    await running.bus.publisher.send(subject, b"poison", Fence(subject).headers())
    async with open_parts(running.bus, running.definitions, log_url(data)):
        (first,) = await buried(running.bus)
        await letters.redrive(first.sequence, BY_ADA)
        (second,) = await buried(running.bus, state=State.OPEN)
    assert (second.code, second.death.earlier) == (CODE_UNDECODABLE, first.sequence)


async def test_a_log_that_is_built_anew_digs_nothing_up(running: Running, data: Path, tmp_path: Path) -> None:
    await running.publish(simple())
    subject = running.bus.subjects.fact("simple", "a", "completed", "s4")
    await running.bus.publisher.send(subject, b"poison", {})
    async with open_parts(running.bus, running.definitions, log_url(data)):
        (letter,) = await buried(running.bus)
    await DeadLetters(running.bus).drop(letter.sequence, BY_ADA)
    (tmp_path / "again").mkdir()
    async with open_parts(running.bus, running.definitions, log_url(tmp_path / "again")) as parts:
        await parts.log.caught_up()
        assert len(await parts.queries.rejected()) == 1
    assert [one.sequence for one in await buried(running.bus)] == [letter.sequence]
