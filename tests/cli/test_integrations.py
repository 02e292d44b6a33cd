"""`saga webhook`, `saga rule`, `saga orchestrate`, `saga health`, run as people run them: against `saga up`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from saga.cli.system import running
from tests.commands import saga

ENDPOINT = "{name: crm, url: 'http://127.0.0.1:1/hooks', secrets: [hook], event_types: ['quote.*']}"
RULE = "{name: cheapest, version: '1', operations: [{op: sort, by: [price]}]}"
WORKFLOW = """
steps:
  - name: told
    type: WEBHOOK_CALL
    input: {endpoint: crm, type: quote.chosen, data: {price: "${input.price}"}}
"""


@dataclass
class Cli:
    """Runs `saga` against a running system."""

    api: str
    folder: Path

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga(
            *arguments, env={**os.environ, "SAGA_API_URL": self.api, "USER": "ada", "COLUMNS": "200"}
        )

    async def json(self, *arguments: str, code: int = 0) -> Any:
        found, out, err = await self.run(*arguments, "-o", "json")
        assert found == code, err
        return json.loads(out)

    def file(self, text: str) -> str:
        path = self.folder / "document.yaml"
        path.write_text(text)
        return str(path)


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    secrets = {"SAGA_SECRET_HOOK": "whsec_aG9vaw==", "SAGA_HTTP_ALLOW": "127.0.0.1:1"}
    async with running(["integrations"], tmp_path / "data", environment=environment | secrets) as system:
        yield Cli(system.api_url, tmp_path)


async def test_endpoints_and_what_was_told_to_them(cli: Cli) -> None:
    assert (await cli.json("webhook", "create", cli.file(ENDPOINT)))["name"] == "crm"
    assert [one["name"] for one in await cli.json("webhook", "list")] == ["crm"]
    started = await cli.json(
        "orchestrate", cli.file(WORKFLOW), "--input", '{"price": 40}', "--idempotency-key", "k-1"
    )
    async with asyncio.timeout(30):
        while not (told := await cli.json("webhook", "deliveries", "--undelivered", "--endpoint", "crm")):
            await asyncio.sleep(0.05)
    assert told[0]["saga_id"] == started["execution_id"]
    story = await cli.json("webhook", "redeliver", told[0]["webhook_id"], code=8)
    assert (story["status"], story["history"][-1]["redelivery"]) == ("failed", True)
    code, out, _ = await cli.run("webhook", "delivery", told[0]["webhook_id"])
    assert (code, "http." in out) == (0, True)
    off = await cli.json(
        "webhook", "update", cli.file(ENDPOINT.replace("name: crm", "name: crm, enabled: false"))
    )
    assert off["enabled"] is False
    assert (await cli.json("webhook", "show", "crm"))["enabled"] is False
    await cli.json("webhook", "delete", "crm")
    assert (await cli.run("webhook", "show", "crm"))[0] == 3
    assert (await cli.json("health"))["status"] == "ok"


async def test_rules_are_stored_and_tried(cli: Cli) -> None:
    await cli.json("rule", "store", cli.file(RULE))
    assert [one["version"] for one in await cli.json("rule", "list", "--name", "cheapest")] == ["1"]
    tried = await cli.json("rule", "try", "cheapest@1", "--data", '[{"price": 9}, {"price": 3}]')
    assert tried["result"] == [{"price": 3}, {"price": 9}]
    assert (await cli.json("rule", "show", "cheapest"))["version"] == "1"
    assert (await cli.run("rule", "store", cli.file(RULE.replace("price", "value"))))[0] == 4
