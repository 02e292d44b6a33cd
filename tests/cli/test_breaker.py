"""`saga breaker`, run as people run it: as a process, against a real API."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.breakers import BreakerConfig, Isolation
from events.breakers import BreakerBucket
from events.clock import utc_now
from saga.action import Unavailable
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.breaker import shared_breakers
from saga.execution import counts_against
from tests.commands import saga
from tests.world import Running


class Cli:
    """Runs `saga breaker` against an API."""

    def __init__(self, api: str) -> None:
        self._environment = {**os.environ, "SAGA_API_URL": api, "USER": "ada", "COLUMNS": "200"}

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga("breaker", *arguments, env=self._environment)

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def cli(running: Running, data: Path) -> AsyncIterator[Cli]:
    """An API that knows of an open breaker `operator.mpesa`."""
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    config = BreakerConfig(failure_threshold=1, reset_timeout_s=600.0)
    async with (
        open_parts(running.bus, running.definitions, url) as parts,
        shared_breakers(running.bus, config, fails=counts_against) as breakers,
        serve_api(create_app(parts)) as api,
    ):
        with pytest.raises(Unavailable):
            async with breakers.get("operator.mpesa"):
                raise Unavailable("t.down", "down")
        async with asyncio.timeout(20):
            while not await parts.log.breakers.recent("operator.mpesa", 1):
                await asyncio.sleep(0.02)
        yield Cli(api)


async def test_a_breaker_is_told_as_shut_where_facts_are_played(cli: Cli, running: Running) -> None:
    assert [one["shut"] for one in await cli.json("list")] == [False]
    await BreakerBucket(running.bus).isolate(Isolation(since=utc_now()))
    async with asyncio.timeout(20):
        while not (await cli.json("list"))[0]["shut"]:
            pass
    assert (await cli.json("show", "operator.mpesa"))["shut"]


async def test_a_breaker_is_listed_configured_reset_and_deleted(cli: Cli) -> None:
    (listed,) = await cli.json("list")
    assert (listed["name"], listed["state"]) == ("operator.mpesa", "open")
    code, out, _ = await cli.run("show", "operator.mpesa")
    assert (code, "open" in out, "previous" in out) == (0, True, True)
    before = listed["config"]
    changed = await cli.json("config", "operator.mpesa", "--failure-threshold", "9", "--reason", "patience")
    assert changed["config"] == {**before, "failure_threshold": 9}
    code, _, err = await cli.run("delete", "operator.mpesa", "--reason", "gone")
    assert (code, "reset it before" in err) == (4, True)
    assert (await cli.json("reset", "operator.mpesa", "--reason", "it is back"))["state"] == "closed"
    await cli.json("delete", "operator.mpesa", "--reason", "gone")
    assert await cli.json("list") == []


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("show", "nobody"), 3, "no breaker nobody"),
        (("show", "a b"), 2, "no subject token"),
        (("reset", "nobody", "--reason", "r"), 3, "no breaker nobody"),
        (("config", "operator.mpesa", "--reason", "r"), 2, "at least one setting"),
        (("config", "operator.mpesa", "--reason", "r", "--failure-threshold", "0"), 2, "failure_threshold"),
    ],
)
async def test_what_cannot_be_is_said_with_its_exit_code(
    cli: Cli, arguments: tuple[str, ...], code: int, word: str
) -> None:
    told, _, err = await cli.run(*arguments)
    assert (told, word in err) == (code, True), err
