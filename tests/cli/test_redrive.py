"""`saga redrive` and `saga redrives`, run as people run them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from saga.action import ActionContext, Refused
from saga.api.app import create_app, open_parts
from saga.api.parts import Parts
from saga.api.server import serve_api
from saga.log.queries import Filter
from tests.commands import saga
from tests.saga.small import CHAIN
from tests.world import Number, Running, World

ALL = ("--all", "--def", "chain", "--reason", "mended")


class Shell:
    """Runs `saga` against an API over sagas of which some have failed."""

    def __init__(self, api: str, failed: list[str]) -> None:
        self.failed = failed
        self._environment = {**os.environ, "SAGA_API_URL": api, "USER": "ada", "COLUMNS": "200"}

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        return await saga(*arguments, env=self._environment, stdin=stdin)

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def shell(running: Running, world: World, data: Path) -> AsyncIterator[Shell]:
    async def once(ctx: ActionContext, command: Number) -> Number:
        if ctx.saga_id in failed:
            raise Refused("test.no", "not yet")
        return command

    failed: list[str] = []
    world.behaviours["c"] = once
    await running.publish(CHAIN)
    async with (
        open_parts(running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}") as parts,
        serve_api(create_app(parts)) as api,
    ):
        failed += [await running.start(CHAIN, value=value) for value in range(3)]
        async with running.serving(*(world.action(name, compensable=False) for name in "abc")):
            await known(parts, "compensated", 3)
            yield Shell(api, failed)


async def known(parts: Parts, status: str, count: int) -> None:
    async with asyncio.timeout(20):
        while await parts.queries.count(Filter(status=(status,))) < count:
            await asyncio.sleep(0.02)


async def test_one_saga_is_looked_at_and_redriven(shell: Shell) -> None:
    first = shell.failed[0]
    code, out, _ = await shell.run("redrive", first, "--reason", "mended", "--dry-run")
    assert code == 0
    assert "taken_over  a, b" in out
    code, _, err = await shell.run("redrive", first, "--reason", "mended", "--from", "x")
    assert (code, "no step 'x'" in err) == (2, True)
    done = await shell.json("redrive", first, "--reason", "mended", "--from", "b")
    assert (done["created"], done["again"]) == (True, ["b", "c"])
    code, _, err = await shell.run("redrive", first, "--reason", "mended", "--dry-run")
    assert (code, f"as saga {done['new_id']}" in err) == (4, True)


async def test_many_are_redriven_when_a_person_agrees(shell: Shell) -> None:
    for wrong in (
        ("redrive", "--reason", "x"),
        ("redrive", "--all", "--reason", "x"),
        ("redrives", "--cancel"),
    ):
        assert (await shell.run(*wrong))[0] == 2
    dry = await shell.json("redrive", *ALL, "--dry-run", "--code", "test.no")
    assert (dry["matched"], len(dry["plans"])) == (3, 3)
    assert (await shell.run("redrive", *ALL, "--code", "test.other"))[0] == 0
    code, _, err = await shell.run("redrive", *ALL, stdin="n\n")
    assert (code, "3 sagas are meant" in err) == (0, True)
    assert await shell.json("redrives") == []
    code, out, err = await shell.run("redrive", *ALL, "--rate", "100", stdin="y\n")
    assert code == 0, err
    assert "redriven    3" in out
    (job,) = await shell.json("redrives")
    assert await shell.json("redrives", job["id"], "--follow") == job
    code, _, err = await shell.run("redrive", *ALL, "--failed-step", "c", "--yes", "-o", "json")
    assert (code, "was redriven before" in err) == (4, True)


async def test_a_job_goes_on_by_itself_until_it_is_cancelled(shell: Shell) -> None:
    code, out, err = await shell.run("redrive", *ALL, "--rate", "0.01", "--yes", "--detach", "-o", "json")
    assert code == 0, err
    job = json.loads(out)
    assert job["state"] == "running"
    assert (await shell.json("redrives", job["id"], "--cancel"))["state"] == "cancelled"
    assert (await shell.run("redrives", job["id"], "--cancel"))[0] == 4
    assert (await shell.run("redrives", "unknown"))[0] == 3
