"""Bad input: a clear error to whoever sends it, or a dead letter with the reason; everything else goes on."""

import pytest
from nats.js.errors import APIError
from pydantic import ValidationError

from contracts.definition import SagaDefinition, Step
from contracts.failure import InvalidContract, NotFound
from events.deadletters import (
    CODE_UNANSWERABLE,
    CODE_UNDECODABLE,
    CODE_UNKNOWN_DEFINITION,
    CODE_WRONG_SUBJECT,
)
from events.publish import PublishFailed
from saga.action import ActionContext
from saga.client import StartOptions
from saga.dead_letters import DeadLetters, Words
from saga.state import SagaStatus
from tests.world import Number, Running, World

CHAIN = SagaDefinition(
    name="chain",
    steps=(
        Step(name="a", action="test.a", input={"value": "${input.value}"}),
        Step(name="b", action="test.b", after=("a",), input={"value": "${steps.a.value}"}),
    ),
)
BY_ADA = Words(by="ada", reason="repaired")


class Text(Number):
    text: str = ""


async def send(running: Running, payload: bytes, saga_id: str, key: tuple[str, str], **headers: str) -> None:
    subject = running.bus.subjects.fact("chain", *key, saga_id)
    await running.bus.publisher.send(subject, payload, headers)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{ not json", "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[]", "not a fact"),
        (b"null", "not a fact"),
        (b'{"specversion": "1.0"}', "/id: Field required"),
        (b"[" * 100_000, "recursion limit exceeded"),
        (b" " * (256 * 1024 + 1), "larger than the limit of 262144"),
    ],
)
async def test_poison_is_buried_byte_for_byte_and_the_action_goes_on(
    running: Running, world: World, payload: bytes, reason: str
) -> None:
    await running.publish(CHAIN)
    async with running.serving(world.action("a"), world.action("b")):
        told = {"Sent-By": "a stranger", "Nats-Msg-Id": "p1"}
        await send(running, payload, "poisoned", ("_saga", "started"), **told)
        saga_id = await running.start(CHAIN, value=1)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED
        (letter,) = await running.letters(1)
    origin = letter.death.origin
    assert (letter.code, letter.payload, letter.consumer) == (CODE_UNDECODABLE, payload, "test-a")
    assert (origin.stream, origin.sequence, origin.deliveries) == (running.bus.names.facts(0), 1, 1)
    assert (origin.headers, letter.death.saga_id) == (told, "poisoned")
    assert origin.subject == running.bus.subjects.fact("chain", "_saga", "started", "poisoned")
    assert reason in letter.reason


async def test_wrong_types_unknown_versions_and_wrong_subjects_say_what_was_expected(
    running: Running, world: World
) -> None:
    await running.publish(CHAIN)
    good = (await running.facts(await running.start(CHAIN, value=1)))[0].fact
    for saga_id, change in (
        ("s1", {"definition": "chain@99"}),
        ("s2", {"data": {"input": 7}}),
        ("s3", {"sagaid": "another"}),
        ("s4", {"type": "saga.invented"}),
        ("s5", {"subject": "b"}),
    ):
        fact = good.model_copy(update={"sagaid": saga_id, **change})
        await send(running, fact.encode(), saga_id, ("_saga", "started"))
    async with running.serving(world.action("a"), world.action("b")):
        letters = {letter.death.saga_id: letter for letter in await running.letters(5)}
    told = {saga_id: (letter.code, letter.reason) for saga_id, letter in letters.items()}
    assert told["s1"] == (CODE_UNKNOWN_DEFINITION, "no definition chain@99")
    assert told["s2"][0] == CODE_UNDECODABLE
    assert "data of saga.started: /input" in told["s2"][1]
    assert told["s3"][0] == CODE_WRONG_SUBJECT
    assert told["s3"][1].endswith("._saga.started.another")
    assert told["s4"][0] == CODE_UNDECODABLE
    assert "no fact _saga.invented: known are" in told["s4"][1]
    assert told["s5"][0] in (CODE_WRONG_SUBJECT, CODE_UNDECODABLE)


async def test_poison_in_the_middle_of_a_saga_does_not_stop_it(running: Running, world: World) -> None:
    join = SagaDefinition(
        name="chain",
        version="2",
        steps=(
            Step(name="a", action="test.a", input={"value": "${input.value}"}),
            Step(name="b", action="test.b", input={"value": "${input.value}"}),
            Step(name="c", action="test.c", after=("a", "b"), input={"value": "${steps.a.value}"}),
        ),
    )
    await running.publish(join)
    saga_id = await running.start(join, value=1)
    async with running.serving(world.action("a")):
        await running.until(join, saga_id, lambda state: state.steps["a"].status == "completed")
    # It hides the true fact from whoever reads the last message of every subject.
    await send(running, b"poison", saga_id, ("a", "completed"))
    async with running.serving(world.action("a"), world.action("b"), world.action("c")):
        assert (await running.ended(join, saga_id)).status == SagaStatus.COMPLETED
        (letter,) = await running.letters(1)
    assert (letter.code, letter.consumer, letter.payload) == (CODE_UNDECODABLE, "test-c", b"poison")
    assert world.times("do a") == world.times("do c") == 1


async def test_a_fact_too_large_to_be_stated_is_buried_at_once_and_redriven_when_the_handler_is_repaired(
    running: Running, world: World
) -> None:
    async def verbose(ctx: ActionContext, command: Number) -> Number:
        return Text(value=command.value, text="x" * 300_000)

    world.behaviours["a"] = verbose
    await running.publish(CHAIN)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(CHAIN, value=1)
        (letter,) = await running.letters(1)
        assert (letter.code, letter.death.saga_id) == (CODE_UNANSWERABLE, saga_id)
        assert "keep large data outside" in letter.reason
        assert letter.death.origin.deliveries == 1
        del world.behaviours["a"]
        await DeadLetters(running.bus).redrive(letter.sequence, BY_ADA)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPLETED


async def test_a_saga_whose_step_lies_there_can_be_cancelled_and_is_undone_by_a_redrive(
    running: Running, world: World
) -> None:
    async def verbose(ctx: ActionContext, command: Number) -> Number:
        return Text(value=command.value, text="x" * 300_000)

    world.behaviours["b"] = verbose
    await running.publish(CHAIN)
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = await running.start(CHAIN, value=1)
        (letter,) = await running.letters(1)
        await running.client.cancel(saga_id, reason="it will never fit", by="ada")
        await DeadLetters(running.bus).redrive(letter.sequence, BY_ADA)
        assert (await running.ended(CHAIN, saga_id)).status == SagaStatus.COMPENSATED
    assert world.done == ["do a", "do b", "undo b", "undo a"]


async def test_a_message_over_the_limit_of_the_stream_is_refused_by_the_server(running: Running) -> None:
    with pytest.raises(PublishFailed, match="message size exceeds maximum allowed"):
        await send(running, b" " * 300_000, "s", ("_saga", "started"))


@pytest.mark.parametrize("definition", ["nobody", "chain@99"])
async def test_starting_an_unknown_saga_or_version_says_what_there_is(
    running: Running, definition: str
) -> None:
    await running.publish(CHAIN)
    with pytest.raises(NotFound, match=definition):
        await running.client.start(definition, {"value": 1})


async def test_asking_for_an_unknown_saga_says_so(running: Running) -> None:
    with pytest.raises(NotFound, match="no saga nobody"):
        await running.client.cancel("nobody", reason="r", by="ada")


@pytest.mark.parametrize("token", ["a.b", "*", ">", "a b", "", "ü", "a\nb", "x" * 65])
async def test_illegal_tokens_are_refused_wherever_they_come_in(running: Running, token: str) -> None:
    await running.publish(CHAIN)
    with pytest.raises(InvalidContract, match="subject token"):
        await running.client.start("chain", {"value": 1}, StartOptions(saga_id=token or "."))
    with pytest.raises(InvalidContract, match="subject token"):
        await running.client.cancel(token or ".", reason="r", by="ada")
    with pytest.raises(ValidationError, match="should match pattern"):
        Step(name=token, action="test.a")


async def test_nothing_that_was_stated_can_be_purged(running: Running) -> None:
    await running.publish(CHAIN)
    await running.start(CHAIN, value=1)
    with pytest.raises(APIError):
        await running.bus.jetstream.purge_stream(running.bus.names.facts(0))
