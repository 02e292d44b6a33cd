"""`saga dlq`, run as people run it: as a process, against a real API."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.definition import SagaDefinition, Step
from events.deadletters import CODE_UNDECODABLE, Wanted, list_dead_letters
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from tests.commands import saga
from tests.world import Running, World

ONE = SagaDefinition(name="one", steps=(Step(name="a", action="test.a", input={"value": "${input.value}"}),))


class Dlq:
    """Runs `saga dlq` against an API."""

    def __init__(self, api: str) -> None:
        self._environment = {**os.environ, "SAGA_API_URL": api, "USER": "ada", "COLUMNS": "200"}

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga("dlq", *arguments, env=self._environment)

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def dlq(running: Running, world: World, data: Path) -> AsyncIterator[Dlq]:
    """An API over three letters of consumer `test-a`."""
    await running.publish(ONE)
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with (
        open_parts(running.bus, running.definitions, url) as parts,
        running.serving(world.action("a")),
        serve_api(create_app(parts)) as api,
    ):
        for number in range(3):
            subject = running.bus.subjects.fact("one", "_saga", "started", f"s{number}")
            await running.bus.publisher.send(subject, b"poison", {"Nats-Msg-Id": f"p{number}"})
        async with asyncio.timeout(20):
            while len(await list_dead_letters(running.bus, Wanted(consumer="test-a"), limit=9)) < 3:
                await asyncio.sleep(0.02)
        yield Dlq(api)


async def test_letters_are_listed_shown_redriven_and_dropped(dlq: Dlq) -> None:
    listed = await dlq.json("list", "--consumer", "test-a", "--code", CODE_UNDECODABLE)
    # What comes together is buried in any order.
    assert {one["saga_id"] for one in listed} == {"s0", "s1", "s2"}
    first, second, third = (str(one["sequence"]) for one in listed)
    shown = await dlq.json("show", first)
    assert (shown["payload"], shown["code"]) == ("poison", CODE_UNDECODABLE)
    assert shown["redrive"] == f"saga dlq redrive {first} --reason ..."
    (redriven,) = await dlq.json("redrive", first, "--reason", "repaired")
    assert redriven["done"]
    (again,) = await dlq.json("redrive", first, "--reason", "repaired")
    assert again["detail"].startswith("ada had done it at")
    dropped = await dlq.json("drop", second, third, "--reason", "junk")
    assert [one["done"] for one in dropped] == [True, True]
    states = await dlq.json("list", "--state", "dropped", "--consumer", "test-a")
    assert [(one["ruling"]["by"], one["ruling"]["reason"]) for one in states] == [("ada", "junk")] * 2


async def test_a_filter_decides_about_all_it_chooses_and_wants_a_yes(dlq: Dlq) -> None:
    chosen = ("--consumer", "test-a", "--reason", "repaired")
    code, _, err = await dlq.run("redrive", *chosen)
    assert (code, "--yes" in err) == (2, True)
    dry = await dlq.json("redrive", *chosen, "--dry-run", "--limit", "2")
    assert [one["done"] for one in dry] == [False, False]
    done = await dlq.json("redrive", *chosen, "--yes", "--saga", "s1")
    assert [one["done"] for one in done] == [True]
    code, _, err = await dlq.run("drop", "1", *chosen)
    assert (code, "not both" in err) == (2, True)


async def test_pages_lead_on(dlq: Dlq) -> None:
    code, out, err = await dlq.run("list", "--consumer", "test-a", "--limit", "2", "-o", "jsonl")
    assert (code, len(out.splitlines())) == (0, 2)
    cursor = err.strip().rpartition(" ")[2]
    rest = await dlq.json("list", "--consumer", "test-a", "--limit", "2", "--after", cursor)
    assert [one["saga_id"] for one in rest] == ["s2"]


async def test_errors_have_their_exit_codes(dlq: Dlq) -> None:
    code, _, err = await dlq.run("show", "999")
    assert (code, err.strip()) == (3, "saga: no dead letter 999")
    (first, *_) = await dlq.json("list", "--consumer", "test-a")
    sequence = str(first["sequence"])
    await dlq.json("drop", sequence, "--reason", "junk")
    code, out, err = await dlq.run("redrive", sequence, "--reason", "repaired")
    assert (code, "was dropped by ada" in out, "1 of 1 refused" in err) == (4, True, True)
    code, _, err = await dlq.run("list", "--since", "yesterday")
    assert (code, "/query/since" in err) == (2, True)
