"""Policies at work: around real steps on a real server, over replicas, and explained."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives
from contracts.policies import Policy, RateLimit
from contracts.retries import FixedRetry
from saga import Client, Forbidden, domain_policy, hook
from saga.action import ActionContext, Unavailable
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.hooks import HookEvent
from tests.world import Number, Running, World


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running.bus, running.definitions)


def one_step(**said: Any) -> SagaDefinition:
    return SagaDefinition(
        name="ruled", steps=(Step(name="a", action="test.a", input={"value": "${input.value}"}, **said),)
    )


async def never(ctx: ActionContext, command: Number) -> Number:
    await asyncio.Event().wait()
    return command


async def fails(ctx: ActionContext, command: Number) -> Number:
    raise Unavailable("test.away", "not now")


async def test_an_action_says_how_long_and_how_often_and_a_step_says_otherwise(
    client: Client, running: Running, world: World
) -> None:
    world.behaviours["a"] = never
    twice = Policy(timeout_s=0.05, retry=FixedRetry(max_attempts=2, delay_s=0.01))
    async with running.serving(world.action("a", policy=twice)):
        result = await (await client.start(one_step(), context={"value": 1})).result(timeout_s=20)
        assert result.steps["a"].error is not None
        assert (result.steps["a"].error.code, result.steps["a"].attempts) == ("step.timeout", 2)
        own = one_step(retry=FixedRetry(max_attempts=3, delay_s=0.01)).model_copy(update={"version": "2"})
        result = await (await client.start(own, context={"value": 1})).result(timeout_s=20)
        assert result.steps["a"].attempts == 3


async def test_a_domain_and_the_operator_say_what_an_action_does_not(
    client: Client, running: Running, world: World, tmp_path: Path
) -> None:
    world.behaviours["a"] = fails
    domain_policy("test", Policy(retry=FixedRetry(max_attempts=2, delay_s=0.01)))
    file = tmp_path / "policies.yaml"
    file.write_text("actions: {test.a: {retry: {kind: fixed, max_attempts: 4, delay_s: 0.01}}}")
    try:
        for settings, attempts in (({}, 2), ({"policies": file}, 4)):
            async with running.serving(world.action("a"), **settings):
                result = await (await client.start(one_step(), context={"value": 1})).result(timeout_s=20)
            assert result.steps["a"].attempts == attempts
    finally:
        domain_policy("test", Policy())


async def test_a_breaker_of_the_policy_opens_and_holds_back(
    client: Client, running: Running, world: World
) -> None:
    world.behaviours["a"] = fails
    policy = Policy(breaker="outside", retry=FixedRetry(max_attempts=50, delay_s=0.01))
    settings = {"breaker_failure_threshold": 2, "breaker_reset_timeout_s": 0.3}
    async with running.serving(world.action("a", policy=policy), **settings):
        handle = await client.start(one_step(), context={"value": 1})
        failed = 0
        async for moment in handle.events():
            failed += moment.kind == "attempt_failed"
            if failed == 2:
                break
        world.behaviours.clear()
        result = await handle.result(timeout_s=20)
    assert result.success
    # Held back while it was open: two failures, and the probe that worked.
    assert world.times("do a") == 3


async def test_only_the_hooks_of_the_policy_run_and_those_required(
    client: Client, running: Running, world: World
) -> None:
    heard: list[str] = []

    def noting(name: str, *, required: bool = False) -> Any:
        @hook(name, stages=("pre",), required=required)
        async def note(event: HookEvent) -> None:
            heard.append(name)

        return note

    hooks = [noting("wanted"), noting("unwanted"), noting("must", required=True)]
    async with running.serving(world.action("a", policy=Policy(hooks=("wanted",))), hooks=hooks):
        assert (await (await client.start(one_step(), context={"value": 1})).result(timeout_s=20)).success
    assert sorted(heard) == ["must", "wanted"]


async def test_who_lacks_a_permission_neither_starts_nor_runs(
    client: Client, running: Running, world: World
) -> None:
    action = world.action("a", permissions=("files:write",))
    async with running.serving(action):
        with pytest.raises(Forbidden, match=r"/steps/0: test\.a needs files:write"):
            await client.start(one_step(), context={"value": 1})
        granted = Directives(permissions=("files:*",))
        handle = await client.start(one_step(), context={"value": 1}, directives=granted)
        assert (await handle.result(timeout_s=20)).success
        # A start from elsewhere is not checked: the participant is.
        started = await client.sagas.start("ruled", {"value": 1})
        result = await (await client.handle(started.saga_id)).result(timeout_s=20)
    assert result.steps["a"].error is not None
    assert (result.steps["a"].error.code, result.status) == ("step.forbidden", "failed")
    assert world.times("do a") == 1


async def test_replicas_together_run_no_more_at_once_than_the_policy_allows(
    client: Client, running: Running, world: World
) -> None:
    inside, most = 0, 0
    turn = asyncio.Event()

    async def counts(ctx: ActionContext, command: Number) -> Number:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 2:
            turn.set()
        async with asyncio.timeout(10):
            await turn.wait()
        await asyncio.sleep(0.01)  # long enough for a third one to come in, if it could
        inside -= 1
        return command

    world.behaviours["a"] = counts
    action = world.action("a", policy=Policy(concurrency=2))
    async with running.serving(action), running.serving(action):
        handles = [await client.start(one_step(), context={"value": n}) for n in range(8)]
        for handle in handles:
            assert (await handle.result(timeout_s=30)).success
    assert most == 2
    assert world.times("do a") == 8


async def test_replicas_together_keep_to_the_rate(client: Client, running: Running, world: World) -> None:
    action = world.action("a", policy=Policy(rate=RateLimit(per_s=10, burst=2)))
    async with running.serving(action), running.serving(action):
        handles = [await client.start(one_step(), context={"value": n}) for n in range(6)]
        results = [await handle.result(timeout_s=30) for handle in handles]
    ended = sorted(step.ended_at for result in results if (step := result.steps["a"]).ended_at)
    assert len(ended) == 6
    # The first two at once, the other four a tenth of a second after each other.
    assert (ended[-1] - ended[0]).total_seconds() > 0.35
    assert all(result.steps["a"].attempts == 1 for result in results)


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        open_parts(running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}") as parts,
        serve_api(create_app(parts)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


async def test_the_api_explains_where_each_value_comes_from(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    world.action("a", policy=Policy(concurrency=3))
    await running.publish(one_step(timeout_s=4))
    query = {"definition": "ruled", "step": "a"}
    answer = (await api.get("/api/v1/policies/test.a", params=query)).json()
    told = {one["name"]: (one["value"], one["level"]) for one in answer["settings"]}
    assert (told["timeout_s"], told["concurrency"], told["retry"][1]) == (
        (4.0, "step"), (3, "action"), "default",
    )  # fmt: skip
    assert (await api.get("/api/v1/policies/no.such")).status_code == 404
    assert (await api.get("/api/v1/policies/test.a", params={"step": "a"})).status_code == 422
