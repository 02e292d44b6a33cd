"""Failed sagas that are run again from a step, as new ones, on a real server."""

import asyncio
from typing import Any

import pytest

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives, Redrives
from contracts.facts import STARTED_KEY, Redriven
from contracts.failure import Conflict, InvalidContract, NotFound
from events.clock import utc_now
from saga.action import ActionContext, Refused
from saga.client import InvalidInput, StartOptions
from saga.invariants import audit
from saga.redriving.restart import Redriver, Wanted
from saga.replay import replay
from saga.state import SagaState, SagaStatus
from saga.timeline import timeline
from saga.why import Around, why
from tests.world import Number, Running, World

WORDS = Redriven(by="ada", reason="the ledger is back")


def step(name: str, *after: str, **options: Any) -> Step:
    given = {"value": f"${{steps.{after[0]}.value}}"} if after else {"value": "${input.value}"}
    return Step(name=name, action=f"test.{name}", after=after, input=given, **options)


CHAIN = SagaDefinition(
    name="chain",
    input_schema={"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]},
    steps=(step("a"), step("b", "a"), step("c", "b"), step("d", "c")),
)
PIVOT = SagaDefinition(
    name="pivot", steps=(step("a"), step("b", "a", pivot=True), step("c", "b"), step("d", "c"))
)
JOIN = SagaDefinition(
    name="join", steps=(step("a"), step("b"), step("c", "a", "b"), step("d", "c")), deadline_s=3600
)


@pytest.fixture
def redriver(running: Running) -> Redriver:
    return Redriver(running.bus, running.definitions)


class Fails:
    """A step that refuses until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    async def __call__(self, ctx: ActionContext, command: Number) -> Number:
        if not self.mended:
            raise Refused("test.no", "not yet")
        return Number(value=command.value + 1)


async def ended(running: Running, definition: SagaDefinition, saga_id: str) -> SagaState:
    state = await running.ended(definition, saga_id)
    assert audit(definition, await running.facts(saga_id), at_rest=True) == []
    return state


async def test_what_stands_is_taken_over_and_the_rest_runs_again(
    running: Running, world: World, redriver: Redriver
) -> None:
    fails = world.behaviours["d"] = Fails()
    await running.publish(CHAIN)
    # `b` can be undone, so after the failure of `d` only `a` stands.
    actions = [world.action(name, compensable=name == "b") for name in "abcd"]
    async with running.serving(*actions):
        old = await running.start(CHAIN, value=1)
        assert (await ended(running, CHAIN, old)).status == SagaStatus.COMPENSATED
        fails.mended = True
        done = await redriver.redrive(old, Wanted(), WORDS)
        state = await ended(running, CHAIN, done.plan.new_id)
    assert done.created
    assert (done.plan.from_steps, done.plan.taken_over, done.plan.repeated) == (("b",), ("a",), ("c",))
    assert state.status == SagaStatus.COMPLETED
    assert world.done == [*("do a", "do b", "do c", "do d", "undo b"), *("do b", "do c", "do d")]
    facts = {one.fact.key: one.fact for one in await running.facts(done.plan.new_id)}
    assert facts["d", "completed"].data["output"] == {"value": 5}
    assert facts[STARTED_KEY].data["redriven"] == {"by": "ada", "reason": "the ledger is back", "job": ""}
    assert facts["d", "completed"].correlationid == old


async def test_from_a_chosen_step_with_another_input(
    running: Running, world: World, redriver: Redriver
) -> None:
    fails = world.behaviours["c"] = Fails()
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name, compensable=False) for name in "abcd")):
        old = await running.start(CHAIN, value=1)
        await ended(running, CHAIN, old)
        fails.mended = True
        with pytest.raises(InvalidInput, match="integer"):
            await redriver.redrive(old, Wanted(edit={"value": "ten"}), WORDS)
        with pytest.raises(Conflict, match=r"from c: a has used input.value.*from a"):
            await redriver.redrive(old, Wanted(from_steps=("c",), edit={"value": 10}), WORDS)
        done = await redriver.redrive(old, Wanted(from_steps=("a",), edit={"value": 10, "note": "x"}), WORDS)
        await ended(running, CHAIN, done.plan.new_id)
    facts = {one.fact.key: one.fact for one in await running.facts(done.plan.new_id)}
    assert facts[STARTED_KEY].data["input"] == {"value": 10, "note": "x"}
    assert facts["d", "completed"].data["output"] == {"value": 14}


async def test_past_the_pivot_only_what_had_not_happened_runs(
    running: Running, world: World, redriver: Redriver
) -> None:
    fails = world.behaviours["c"] = Fails()
    await running.publish(PIVOT)
    async with running.serving(*(world.action(name) for name in "abcd")):
        old = await running.start(PIVOT, value=1)
        assert (await ended(running, PIVOT, old)).status == SagaStatus.FAILED
        fails.mended = True
        for name in "ab":
            with pytest.raises(Conflict, match=f"{name} would run again"):
                await redriver.redrive(old, Wanted(from_steps=(name,)), WORDS)
        done = await redriver.redrive(old, Wanted(), WORDS)
        assert (await ended(running, PIVOT, done.plan.new_id)).status == SagaStatus.COMPLETED
    assert (world.times("do a"), world.times("do b"), world.times("do c")) == (1, 1, 2)
    assert not [what for what in world.done if what.startswith("undo")]


async def test_a_step_of_which_nobody_knows_must_be_chosen(
    running: Running, world: World, redriver: Redriver
) -> None:
    async def unsure(ctx: ActionContext, command: Number) -> Number:
        raise RuntimeError("no answer")

    world.behaviours["c"] = unsure
    await running.publish(PIVOT)
    async with running.serving(*(world.action(name) for name in "abcd")):
        old = await running.start(PIVOT, value=1)
        await ended(running, PIVOT, old)
        with pytest.raises(Conflict, match="nobody knows whether it had its effect"):
            await redriver.plan(old, Wanted())
        assert (await redriver.plan(old, Wanted(from_steps=("c",)))).again == ("c", "d")


async def test_a_join_waits_for_what_runs_again_beside_what_was_taken_over(
    running: Running, world: World, redriver: Redriver
) -> None:
    async def fails_after_a(ctx: ActionContext, command: Number) -> Number:
        await running.stated(ctx.saga_id, ("a", "completed"))
        if ctx.saga_id == old:
            raise Refused("test.no", "not yet")
        return command

    world.behaviours["b"] = fails_after_a
    await running.publish(JOIN)
    old = await running.start(JOIN, value=1)
    async with running.serving(*(world.action(name, compensable=False) for name in "abcd")):
        assert (await ended(running, JOIN, old)).status == SagaStatus.COMPENSATED
        done = await redriver.redrive(old, Wanted(), WORDS)
        state = await ended(running, JOIN, done.plan.new_id)
    assert state.status == SagaStatus.COMPLETED
    assert (world.times("do a"), world.times("do b"), world.times("do c")) == (1, 2, 1)


async def test_a_redrive_that_fails_undoes_only_its_own_and_can_be_redriven(
    running: Running, world: World, redriver: Redriver
) -> None:
    fails = world.behaviours["d"] = Fails()
    await running.publish(CHAIN)
    actions = [world.action(name, compensable=name in "bc") for name in "abcd"]
    async with running.serving(*actions):
        saga_id = await running.start(CHAIN, value=1)
        for _ in range(2):
            assert (await ended(running, CHAIN, saga_id)).status == SagaStatus.COMPENSATED
            saga_id = (await redriver.redrive(saga_id, Wanted(), WORDS)).plan.new_id
        await ended(running, CHAIN, saga_id)
        fails.mended = True
        saga_id = (await redriver.redrive(saga_id, Wanted(), WORDS)).plan.new_id
        assert (await ended(running, CHAIN, saga_id)).status == SagaStatus.COMPLETED
    assert world.times("do a") == 1
    assert (world.times("do b"), world.times("undo b"), world.times("undo c")) == (4, 3, 3)


async def test_many_who_redrive_one_saga_redrive_it_once(
    running: Running, world: World, redriver: Redriver
) -> None:
    world.behaviours["b"] = Fails()
    await running.publish(CHAIN)
    async with running.serving(*(world.action(name) for name in "abcd")):
        old = await running.start(CHAIN, value=1)
        await ended(running, CHAIN, old)
        all_ = await asyncio.gather(*(redriver.redrive(old, Wanted(), WORDS) for _ in range(5)))
        assert [one.created for one in all_].count(True) == 1
        assert len({one.plan.new_id for one in all_}) == 1
        await ended(running, CHAIN, all_[0].plan.new_id)
        with pytest.raises(Conflict, match="redriven before in another way"):
            await redriver.redrive(old, Wanted(edit={"value": 2}), WORDS)
        with pytest.raises(Conflict, match="was redriven before, as saga"):
            await redriver.plan(old, Wanted())
    assert world.times("do a") == 2


async def test_only_what_has_failed_is_redriven(running: Running, world: World, redriver: Redriver) -> None:
    await running.publish(CHAIN)
    with pytest.raises(NotFound, match="no saga"):
        await redriver.plan("s-unknown", Wanted())
    under_way = await running.start(CHAIN, value=1)
    with pytest.raises(Conflict, match="is running: it goes on"):
        await redriver.plan(under_way, Wanted())
    async with running.serving(*(world.action(name) for name in "abcd")):
        assert (await ended(running, CHAIN, under_way)).status == SagaStatus.COMPLETED
        with pytest.raises(Conflict, match="is completed: it has nothing to be redriven"):
            await redriver.plan(under_way, Wanted())


async def test_a_cancelled_saga_can_be_redriven_and_a_step_must_exist(
    running: Running, world: World, redriver: Redriver
) -> None:
    await running.publish(CHAIN)
    old = await running.start(CHAIN, value=1)
    await running.client.cancel(old, reason="by mistake", by="ada")
    with pytest.raises(InvalidContract, match="no step 'x': it has a, b, c, d"):
        await redriver.plan(old, Wanted(from_steps=("x",)))
    new = (await redriver.redrive(old, Wanted(), WORDS)).plan.new_id
    async with running.serving(*(world.action(name) for name in "abcd")):
        assert (await ended(running, CHAIN, new)).status == SagaStatus.COMPLETED


async def test_the_story_of_a_redrive_says_what_was_taken_over(
    running: Running, world: World, redriver: Redriver
) -> None:
    await running.publish(CHAIN)
    fails = world.behaviours["b"] = Fails()
    async with running.serving(*(world.action(name, compensable=False) for name in "abcd")):
        old = await running.start(CHAIN, value=1)
        await ended(running, CHAIN, old)
        fails.mended = True
        new = (await redriver.redrive(old, Wanted(), WORDS)).plan.new_id
        await ended(running, CHAIN, new)
    facts = await running.facts(new)
    started, taken_over, *_ = [moment.text for moment in timeline(facts)]
    assert started == f"ada redrove saga {old} from b: the ledger is back"
    assert taken_over == f"a completed in saga {old}, and was taken over"
    (about_a,) = why(CHAIN, facts, "a", Around(now=utc_now()))
    assert about_a.sentences == (f"{taken_over} (#{facts[1].sequence})",)
    first, second, *_ = replay(CHAIN, facts)
    assert [(one.step, one.verdict) for one in first.heard] == [("a", "ignore")]
    assert [(one.step, one.verdict) for one in second.heard] == [("b", "run")]


async def test_nobody_but_a_redrive_says_what_is_taken_over(running: Running) -> None:
    await running.publish(CHAIN)
    forged = Directives(redrives=Redrives(saga_id="s-1", from_steps=("d",)))
    with pytest.raises(InvalidContract, match="for redrives alone"):
        await running.client.start(CHAIN.ref, {"value": 1}, StartOptions(directives=forged))
