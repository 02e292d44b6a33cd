"""`saga trigger` and `saga emit`, run as people run them: as processes, against a real API and bus."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from events.bus import Bus
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.triggers.runner import TriggerRunner
from saga.workflows.catalogue import Words
from tests.commands import saga
from tests.saga.workflows.documents import workflow
from tests.world import Running

TRIGGER = """
name: orders-in
kind: EVENT
event: shop.ordered
workflow: orders
"""


class Cli:
    """Runs `saga` against an API and a bus."""

    def __init__(self, api: str, bus: Bus) -> None:
        told = {"NATS_URL": bus.settings.url, "SAGA_BUS_NAMESPACE": bus.settings.namespace}
        self._environment = {**os.environ, **told, "SAGA_API_URL": api, "USER": "ada", "COLUMNS": "200"}

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga(*arguments, env=self._environment)

    async def done(self, *arguments: str) -> str:
        code, out, err = await self.run(*arguments)
        assert code == 0, err
        return out

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.done("trigger", *arguments, "-o", "json"))

    async def history(self, count: int) -> list[dict[str, Any]]:
        """The firings of `orders-in`, as soon as there are so many."""
        async with asyncio.timeout(30):
            while len(found := await self.json("history", "orders-in")) < count:
                await asyncio.sleep(0.05)
        return list(found)


@pytest.fixture
async def cli(running: Running, data: Path) -> AsyncIterator[Cli]:
    """A system with the workflow `orders`, and what fires triggers."""
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with (
        open_parts(running.bus, running.definitions, url) as parts,
        TriggerRunner(running.bus, parts.catalogue),
        serve_api(create_app(parts)) as api,
    ):
        await parts.catalogue.create(workflow(), Words("ada", "because"), activate=True)
        yield Cli(api, running.bus)


async def test_a_trigger_is_created_fired_by_an_event_and_by_hand_and_switched_off(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "trigger.yaml"
    file.write_text(TRIGGER)
    created = await cli.json("create", str(file), "--reason", "orders come in")
    assert (created["by"], created["reason"], created["generation"]) == ("ada", "orders come in", 1)
    told = (await cli.done("emit", "shop.ordered", "--key", "o-1", "--data", '{"value": 3}')).strip()
    (heard,) = await cli.history(1)
    assert (heard["outcome"], heard["event_id"]) == ("started", told)
    fired = await cli.json("fire", "orders-in", "--data", '{"value": 4}', "--event-id", "e-1")
    assert fired["outcome"] == "started"
    assert [one["by"] for one in await cli.json("history", "orders-in")] == ["ada", ""]
    file.write_text(f"{TRIGGER}\ndescription: from the shop\n")
    assert (await cli.json("update", str(file)))["generation"] == 2
    await cli.done("trigger", "disable", "orders-in", "--reason", "enough")
    code, _, err = await cli.run("trigger", "fire", "orders-in")
    assert (code, "disabled" in err) == (4, True)
    listed = await cli.done("trigger", "list")
    assert "orders-in" in listed
    assert "EVENT" in listed
    await cli.done("trigger", "enable", "orders-in", "--reason", "more")
    await cli.done("trigger", "delete", "orders-in", "--reason", "done")
    assert (await cli.run("trigger", "show", "orders-in"))[0] == 3


async def test_what_is_wrong_is_said_with_its_place(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "trigger.yaml"
    file.write_text(TRIGGER.replace("event: shop.ordered", "event: shop"))
    code, _, err = await cli.run("trigger", "create", str(file))
    assert (code, "/event" in err) == (2, True)
    code, _, err = await cli.run("emit", "shop", "--key", "o-1")
    assert (code, "event shop" in err) == (2, True)
