"""Why a step stands where it stands, and which sagas are stuck, over HTTP and by the command line."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from contracts.facts import FactKind
from saga.action import ActionContext
from saga.api.app import create_app, open_parts
from saga.api.parts import Parts
from saga.api.server import serve_api
from tests.saga.small import CHAIN, actions
from tests.world import Number, Running, World


@pytest.fixture
async def parts(running: Running, data: Path) -> AsyncIterator[Parts]:
    await running.publish(CHAIN)
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with open_parts(running.bus, running.definitions, url) as opened:
        yield opened


@pytest.fixture
async def api(parts: Parts) -> AsyncIterator[str]:
    async with serve_api(create_app(parts)) as url:
        yield url


async def saga(api: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "saga.cli.main", *arguments, env={**os.environ, "SAGA_API_URL": api},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode() + err.decode()


async def stuck_at_b(running: Running, world: World, parts: Parts) -> str:
    """A saga whose step b nobody serves."""
    async with running.serving(*actions(world, "a")):
        saga_id = await running.start(CHAIN, value=1)
        await running.stated(saga_id, ("a", FactKind.COMPLETED))
    await parts.log.caught_up()
    return saga_id


async def test_a_step_tells_whom_it_waits_for_and_that_nobody_is_there(
    api: str, parts: Parts, running: Running, world: World
) -> None:
    saga_id = await stuck_at_b(running, world, parts)
    async with httpx2.AsyncClient(base_url=f"{api}/api/v1/sagas/{saga_id}", trust_env=False) as client:
        steps = (await client.get("/steps/c/why")).json()["steps"]
        assert [(one["step"], one["standing"]) for one in steps] == [("c", "waits_for_steps"), ("b", "due")]
        assert "nobody serves test.b now; 1 messages wait for it, 0 are in flight" in steps[1]["sentences"]
        assert (await client.get("/steps/z/why")).status_code == 422
    code, out = await saga(api, "why", saga_id, "c")
    assert code == 0, out
    assert "b (test.b): due since" in out
    assert (await saga(api, "why", "unknown", "c"))[0] == 3


async def test_a_saga_that_nobody_goes_on_with_is_stuck_until_somebody_does(
    api: str, parts: Parts, running: Running, world: World
) -> None:
    saga_id = await stuck_at_b(running, world, parts)
    async with httpx2.AsyncClient(base_url=f"{api}/api/v1/sagas", trust_env=False) as client:
        page = (await client.get("/stuck", params={"silent_s": 0})).json()
        assert [(one["saga_id"], one["hangs_on"][0]["step"]) for one in page["items"]] == [(saga_id, "b")]
        assert (await client.get("/stuck", params={"silent_s": 3600})).json()["items"] == []
        code, out = await saga(api, "stuck", "--silent-s", "0")
        assert (code, saga_id in out, "nobody serves test.b now" in out) == (0, True, True)
        async with running.serving(*actions(world, "b", "c")):
            await running.ended(CHAIN, saga_id)
        await parts.log.caught_up()
        assert (await client.get("/stuck", params={"silent_s": 0})).json()["items"] == []
    code, out = await saga(api, "stuck")
    assert (code, "is stuck" in out) == (0, True)


async def test_a_saga_that_waits_for_a_time_of_its_own_is_not_stuck(
    api: str, parts: Parts, running: Running, world: World
) -> None:
    async def sleeps(ctx: ActionContext, command: Number) -> Number:
        await ctx.sleep(3600)
        return command

    world.behaviours["a"] = sleeps
    async with running.serving(*actions(world, "a")):
        saga_id = await running.start(CHAIN, value=1)
        await running.stated(saga_id, ("a", FactKind.SUSPENDED))
    await parts.log.caught_up()
    async with httpx2.AsyncClient(base_url=f"{api}/api/v1/sagas", trust_env=False) as client:
        page = (await client.get("/stuck", params={"silent_s": 0})).json()
    assert (page["items"], page["examined"]) == ([], 1)
