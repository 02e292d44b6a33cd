"""Bad input: an error to whoever sent it, or a dead letter with the reason; the others go on."""

import pytest

from contracts.failure import InvalidContract, NotFound
from events.deadletters import (
    CODE_UNDECODABLE,
    CODE_UNKNOWN_DEFINITION,
    CODE_WRONG_SUBJECT,
)
from saga.client import StartOptions
from saga.state import SagaStatus
from tests.saga.small import CHAIN, actions
from tests.world import Running, World


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
        (letter,) = await running.letters(1)
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
    async with running.serving(*actions(world, "a", "b", "c")):
        letters = await running.letters(3)
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


async def test_starting_what_does_not_exist_says_what_there_is(running: Running) -> None:
    await running.publish(CHAIN)
    with pytest.raises(NotFound, match="chain@1"):
        await running.client.start("chian", {})
    with pytest.raises(NotFound):
        await running.client.start("chain@9", {})
