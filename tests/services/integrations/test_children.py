"""Child sagas on a real bus: for every item, for every branch, as one step; counted once, undone with their parent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from contracts.definition import SagaDefinition
from contracts.facts import FactKind, Recorded
from contracts.ids import saga_id_for
from contracts.workflows import Compiled, compile_workflow, parse_workflow
from saga.action import ActionContext, Refused
from saga.domains import domain_actions
from saga.state import SagaStatus, StepStatus
from tests.world import Number, Running, World

WORK = {"name": "work", "type": "ACTION", "action": "test.work", "input": {"value": "${item}"}}


def each(items: Any, body: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    do = {"steps": body or [WORK], "output": "${steps.work.value}"}
    return {"name": "each", "type": "FOR_EACH", "items": items, "do": do, **fields}


def workflow(*steps: dict[str, Any]) -> Compiled:
    return compile_workflow(parse_workflow({"name": "family", "steps": list(steps)}), "1")


@pytest.fixture
async def publish(running: Running) -> Any:
    async def all_of(compiled: Compiled) -> SagaDefinition:
        for child in compiled.children:
            await running.publish(child)
        await running.publish(compiled.definition)
        return compiled.definition

    return all_of


@asynccontextmanager
async def served(running: Running, world: World) -> AsyncIterator[None]:
    own = [world.action(name) for name in ("before", "work", "more", "after")]
    async with running.serving(*own, *domain_actions("integrations")):
        yield


async def output(running: Running, saga_id: str, step: str) -> Any:
    facts = {one.fact.key: one.fact.data for one in await running.facts(saga_id)}
    return facts[step, FactKind.COMPLETED]["output"]


async def children(running: Running, saga_id: str, step: str, count: int) -> list[list[Recorded]]:
    ids = [saga_id_for(f"child {saga_id}.{step} {number}") for number in range(count)]
    return [await running.facts(one) for one in ids]


async def test_every_item_has_its_result_in_order(running: Running, world: World, publish: Any) -> None:
    definition = await publish(workflow(each("${input.items}", limit=2)))
    async with served(running, world):
        saga_id = await running.start(definition, items=[5, 6, 7, 8, 9])
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    found = await output(running, saga_id, "each")
    assert found == {"total": 5, "succeeded": 5, "failed": 0, "errors": [], "results": [6, 7, 8, 9, 10]}
    said = [one.fact.kind for one in await running.facts(saga_id) if one.fact.subject == "each"]
    assert said.count(FactKind.SUSPENDED) >= 1


async def test_no_items_are_done_at_once(running: Running, world: World, publish: Any) -> None:
    definition = await publish(workflow(each("${input.items}")))
    async with served(running, world):
        saga_id = await running.start(definition, items=[])
        await running.ended(definition, saga_id)
    assert (await output(running, saga_id, "each"))["results"] == []


async def test_no_more_run_at_the_same_time_than_the_limit(
    running: Running, world: World, publish: Any
) -> None:
    definition = await publish(workflow(each("${input.items}", limit=2)))
    world.behaviours["work"] = waits
    async with served(running, world):
        saga_id = await running.start(definition, items=[1, 2, 3])
        await running.until(
            definition, saga_id, lambda state: state.steps["each"].status == StepStatus.SUSPENDED
        )
        first, second, third = await children(running, saga_id, "each", 3)
        assert (bool(first), bool(second), bool(third)) == (True, True, False)
        for facts in (first, second):
            await running.client.signal(facts[0].fact.sagaid, "work", {}, by="test")
        await running.stated(saga_id_for(f"child {saga_id}.each 2"), ("work", FactKind.SUSPENDED))
        await running.client.signal(saga_id_for(f"child {saga_id}.each 2"), "work", {}, by="test")
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED


async def waits(ctx: ActionContext, command: Number) -> Number:
    await ctx.signal()
    return command


async def fails_odd(ctx: ActionContext, command: Number) -> Number:
    if command.value % 2:
        raise Refused("odd", "odd numbers are refused")
    return command


async def test_a_failed_item_fails_the_step_and_all_others_are_undone(
    running: Running, world: World, publish: Any
) -> None:
    before = {"name": "before", "type": "ACTION", "action": "test.before"}
    definition = await publish(workflow(before, each("${input.items}", after=["before"], limit=1)))
    world.behaviours["work"] = fails_odd
    async with served(running, world):
        saga_id = await running.start(definition, items=[2, 4, 5, 6])
        state = await running.ended(definition, saga_id)
    assert state.status == SagaStatus.COMPENSATED
    failure = (state.abort or {})["failure"]
    assert (failure["code"], failure["details"]["errors"][0]["child"]) == ("children.failed", 2)
    assert "odd numbers are refused" in failure["message"]
    assert world.times("undo work") == 2
    assert world.done[-1] == "undo before"
    assert (await children(running, saga_id, "each", 4))[3] == []


async def test_failures_may_be_tolerated(running: Running, world: World, publish: Any) -> None:
    definition = await publish(workflow(each("${input.items}", on_item_failure="continue")))
    world.behaviours["work"] = fails_odd
    async with served(running, world):
        saga_id = await running.start(definition, items=[2, 3, 4])
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    found = await output(running, saga_id, "each")
    assert found["results"] == [2, None, 4]
    assert [(error["child"], error["code"]) for error in found["errors"]] == [(1, "odd")]


async def test_one_success_is_enough_and_the_others_are_turned_round(
    running: Running, world: World, publish: Any
) -> None:
    async def first_only(ctx: ActionContext, command: Number) -> Number:
        if command.value:
            await ctx.signal()
        return command

    world.behaviours["work"] = first_only
    definition = await publish(workflow(each("${input.items}", join="any")))
    async with served(running, world):
        saga_id = await running.start(definition, items=[1, 0, 2])
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
        assert (await output(running, saga_id, "each"))["results"] == [None, 0, None]
        for number in (0, 2):
            await running.stated(
                saga_id_for(f"child {saga_id}.each {number}"), ("child_begin", FactKind.COMPENSATED)
            )


async def test_children_that_have_completed_are_undone_with_their_parent(
    running: Running, world: World, publish: Any
) -> None:
    async def refuses(ctx: ActionContext, command: Number) -> Number:
        raise Refused("late", "too late")

    world.behaviours["after"] = refuses
    after = {"name": "after", "type": "ACTION", "action": "test.after", "after": ["each"]}
    more = {"name": "more", "type": "ACTION", "action": "test.more", "after": ["work"]}
    definition = await publish(workflow(each("${input.items}", [WORK, more]), after))
    async with served(running, world):
        saga_id = await running.start(definition, items=[1, 2, 3])
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPENSATED
    assert world.times("undo work") == world.times("undo more") == 3


async def test_a_cancelled_parent_cancels_its_children(running: Running, world: World, publish: Any) -> None:
    world.behaviours["more"] = waits
    more = {"name": "more", "type": "ACTION", "action": "test.more", "after": ["work"]}
    definition = await publish(workflow(each("${input.items}", [WORK, more])))
    async with served(running, world):
        saga_id = await running.start(definition, items=[1, 2])
        for number in range(2):
            await running.stated(saga_id_for(f"child {saga_id}.each {number}"), ("more", FactKind.SUSPENDED))
        await running.client.cancel(saga_id, reason="changed my mind", by="ada")
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPENSATED
    assert world.times("undo work") == world.times("undo more") == 2


async def test_a_child_cancelled_before_it_began_is_found(
    running: Running, world: World, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.integrations.children.running.LOOK_AFTER_S", 0.3)
    definition = await publish(workflow(each("${input.items}", on_item_failure="continue")))
    own = [world.action(name) for name in ("before", "work", "more", "after")]
    generic = domain_actions("integrations")
    without_begin = [one for one in generic if one.name != "integrations.child_begin"]
    async with running.serving(*own, *without_begin):
        saga_id = await running.start(definition, items=[1])
        child = saga_id_for(f"child {saga_id}.each 0")
        await running.stated(child, ("_saga", FactKind.STARTED))
        await running.client.cancel(child, reason="not this one", by="ada")
    async with served(running, world):
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    assert (await output(running, saga_id, "each"))["errors"][0]["message"] == "not this one"


async def test_branches_run_side_by_side_and_give_results_by_name(
    running: Running, world: World, publish: Any
) -> None:
    def branch(value: str) -> dict[str, Any]:
        return {"steps": [WORK | {"input": {"value": value}}], "output": {"n": "${steps.work.value}"}}

    before = {"name": "before", "type": "ACTION", "action": "test.before", "input": {"value": 3}}
    both = {
        "name": "both", "type": "PARALLEL", "after": ["before"],
        "branches": {"left": branch("${input.left}"), "right": branch("${steps.before.value}")},
    }  # fmt: skip
    after = {
        "name": "after", "type": "ACTION", "action": "test.after", "after": ["both"],
        "input": {"value": "${steps.both.results.right.n}"},
    }  # fmt: skip
    definition = await publish(workflow(before, both, after))
    async with served(running, world):
        saga_id = await running.start(definition, left=10)
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    assert (await output(running, saga_id, "both"))["results"] == {"left": {"n": 11}, "right": {"n": 5}}
    assert await output(running, saga_id, "after") == {"value": 6}


async def test_bodies_within_bodies(running: Running, world: World, publish: Any) -> None:
    inner = {
        "name": "inner", "type": "FOR_EACH", "items": "${item.numbers}",
        "do": {"steps": [WORK], "output": {"n": "${steps.work.value}", "of": "${input.name}"}},
    }  # fmt: skip
    outer = {
        "name": "each", "type": "FOR_EACH", "items": "${input.groups}",
        "do": {"steps": [inner], "output": "${steps.inner.results}"},
    }  # fmt: skip
    definition = await publish(workflow(outer))
    async with served(running, world):
        saga_id = await running.start(definition, groups=[{"numbers": [1, 2]}, {"numbers": [3]}], name="x")
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    expected = [[{"n": 2, "of": "x"}, {"n": 3, "of": "x"}], [{"n": 4, "of": "x"}]]
    assert (await output(running, saga_id, "each"))["results"] == expected


async def test_another_definition_as_one_step(running: Running, world: World) -> None:
    inner = SagaDefinition.model_validate(
        {
            "name": "inner",
            "steps": [{"name": "work", "action": "test.work", "input": {"value": "${input.n}"}}],
        }
    )
    step = {
        "name": "child", "type": "CHILD", "definition": "inner@1", "input": {"n": "${input.n}"},
        "output": "${steps.work.value}",
    }  # fmt: skip
    found = {"inner@1": inner}
    compiled = compile_workflow(parse_workflow({"name": "family", "steps": [step]}), "1", found.get)
    for one in (*compiled.children, compiled.definition):
        await running.publish(one)
    async with served(running, world):
        saga_id = await running.start(compiled.definition, n=41)
        assert (await running.ended(compiled.definition, saga_id)).status == SagaStatus.COMPLETED
    assert (await output(running, saga_id, "child"))["output"] == 42


async def test_finished_items_are_not_done_again_after_everybody_died(
    running: Running, world: World, publish: Any
) -> None:
    async def waits_from_three(ctx: ActionContext, command: Number) -> Number:
        if command.value >= 3:
            await ctx.signal()
        return command

    world.behaviours["work"] = waits_from_three
    definition = await publish(workflow(each("${input.items}", limit=3)))
    async with served(running, world):
        saga_id = await running.start(definition, items=[1, 2, 3, 4])
        for number in (2, 3):
            await running.stated(saga_id_for(f"child {saga_id}.each {number}"), ("work", FactKind.SUSPENDED))
    del world.behaviours["work"]
    async with served(running, world):
        for number in (2, 3):
            await running.client.signal(saga_id_for(f"child {saga_id}.each {number}"), "work", {}, by="test")
        await running.ended(definition, saga_id)
    assert (await output(running, saga_id, "each"))["results"] == [1, 2, 4, 5]
    assert world.times("do work") == 6


async def test_items_are_spread_over_all_replicas(running: Running, publish: Any) -> None:
    definition = await publish(workflow(each("${input.items}", limit=20)))
    replicas = [World(), World()]
    both = asyncio.Event()

    async def together(ctx: ActionContext, command: Number) -> Number:
        if all(replica.times("do work") for replica in replicas):
            both.set()
        await both.wait()
        return command

    async with AsyncExitStack() as stack:
        for replica in replicas:
            replica.behaviours["work"] = together
            await stack.enter_async_context(served(running, replica))
        saga_id = await running.start(definition, items=list(range(60)))
        assert (await running.ended(definition, saga_id)).status == SagaStatus.COMPLETED
    assert sum(replica.times("do work") for replica in replicas) == 60


@pytest.mark.parametrize(("join", "items", "status"), [
    ({"at_least": 2}, [2, 3, 4], SagaStatus.COMPLETED),
    ({"at_least": 2}, [3, 5, 4], SagaStatus.COMPENSATED),
    ({"at_least": 4}, [2, 4, 6], SagaStatus.COMPENSATED),
    ("any", [1, 3, 5], SagaStatus.COMPENSATED),
    ("any", [], SagaStatus.COMPENSATED),
])  # fmt: skip
async def test_as_many_as_are_needed(
    running: Running, world: World, publish: Any, join: Any, items: list[int], status: SagaStatus
) -> None:
    world.behaviours["work"] = fails_odd
    definition = await publish(workflow(each("${input.items}", join=join)))
    async with served(running, world):
        saga_id = await running.start(definition, items=items)
        assert (await running.ended(definition, saga_id)).status == status
