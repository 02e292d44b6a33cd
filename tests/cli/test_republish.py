"""`saga replay --into`, run as people run it: as a process, beside services of a namespace of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from events.bus import Bus
from events.definitions import Definitions
from events.embedded import server
from events.read import read_saga
from events.settings import BusSettings
from events.streams import declare
from tests.commands import saga
from tests.saga.small import CHAIN, actions, refuse
from tests.world import Running, World


class Cli:
    """Runs `saga` on the bus of the test; `dev` is the namespace to play into."""

    def __init__(self, settings: BusSettings, saga_id: str) -> None:
        self.saga_id = saga_id
        self.namespace = settings.namespace
        self.dev = f"{settings.namespace}-dev"
        self.environment = {
            **os.environ, "NATS_URL": settings.url, "SAGA_BUS_NAMESPACE": settings.namespace, "COLUMNS": "200",
        }  # fmt: skip

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga(*arguments, env=self.environment)

    async def play(self, *arguments: str) -> tuple[int, str, str]:
        return await self.run("replay", "--into", self.dev, *arguments)

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self.play(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def cli(running: Running, world: World) -> Cli:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        await running.ended(CHAIN, saga_id)
    return Cli(running.bus.settings, saga_id)


@pytest.fixture
async def dev(cli: Cli, bus_settings: BusSettings, data: Path) -> AsyncIterator[Running]:
    async with await Bus.connect(bus_settings.model_copy(update={"namespace": cli.dev})) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            yield Running(bus, definitions, data / "dev")


async def test_a_saga_is_played_once_and_again_where_that_is_wanted(cli: Cli) -> None:
    first = await cli.json(cli.saga_id)
    assert first["served"] == []
    assert (first["summary"]["sagas"], first["summary"]["same"], first["summary"]["facts"]) == (1, 1, 7)
    assert (await cli.json("--all"))["summary"]["there"] == 1
    (told,) = (await cli.json("--def", "chain", "--again"))["sagas"]
    assert (told["status"], told["saga_id"]) == ("same", cli.saga_id)
    assert told["played_as"] != cli.saga_id
    code, _, err = await cli.play("--since", "1h")
    assert (code, "nobody serves anything" in err) == (0, True)


async def test_a_service_that_answers_otherwise_is_told_with_exit_code_10(
    cli: Cli, dev: Running, world: World
) -> None:
    world.behaviours["b"] = refuse
    async with dev.serving(*actions(world, "b")):
        code, out, _ = await cli.play(cli.saga_id, "--effects")
        assert (code, "failed (test.no)" in out, "withheld: #" in out) == (10, True, True)
        code, out, _ = await cli.play("--all", "--effects", "--again", "-o", "jsonl")
    assert code == 10
    (told,) = map(json.loads, out.splitlines())
    assert (told["status"], told["left"]) == ("diverged", {"test.b": 2})
    assert [one["now"] for one in told["differences"]] == ["failed (test.no)"]


async def test_a_recording_is_played_without_its_source(cli: Cli, tmp_path: Path) -> None:
    file = str(tmp_path / "saga.jsonl.zst")
    assert (await cli.run("export", "sagas", cli.saga_id, "--out", file))[0] == 0
    assert (await cli.json("--file", file))["summary"]["facts"] == 7
    assert (await cli.json("--file", file, "--all"))["summary"]["there"] == 1


async def test_facts_are_played_on_another_server(cli: Cli) -> None:
    async with server(os.environ, sync_interval="2m") as url:
        code, out, err = await cli.run(
            "replay", cli.saga_id, "--into", cli.namespace, "--to", url, "-o", "jsonl"
        )
        assert code == 0, err
        assert json.loads(out)["played"] == 7
        async with await Bus.connect(BusSettings(url=url, namespace=cli.namespace)) as bus:
            assert len(await read_saga(bus, cli.saga_id)) == 7


async def test_a_replay_that_is_stopped_goes_on_when_it_is_begun_again(
    cli: Cli, dev: Running, tmp_path: Path
) -> None:
    _, out, _ = await cli.run("export", "sagas", cli.saga_id)
    header, definition, *facts = map(json.loads, out.splitlines())
    for line in facts[3:]:
        line["fact"]["time"] = "2999-01-01T00:00:00Z"
    file = tmp_path / "slow.jsonl"
    file.write_text("\n".join(map(json.dumps, (header, definition, *facts))))
    slow = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "saga.cli.main", "replay", "--into", cli.dev, "--file", str(file)],
        *["--speed", "original"],
        env=cli.environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await dev.stated(cli.saga_id, ("a", "completed"))
    slow.send_signal(signal.SIGINT)
    _, err = await slow.communicate()
    assert (slow.returncode, b"goes on with what is missing" in err) == (130, True)
    assert len(await dev.facts(cli.saga_id)) == 3
    assert (await cli.json("--file", str(file)))["summary"]["facts"] == 4


async def test_mistakes_are_one_line_and_an_exit_code(cli: Cli, dev: Running) -> None:
    for arguments, expected, words in (
        ((cli.dev,), 2, "say which sagas"),
        ((cli.dev, cli.saga_id, "--all"), 2, "say which sagas"),
        ((cli.dev, cli.saga_id, "--diff"), 2, "choose"),
        ((cli.dev, "--since", "yesterday"), 2, "neither a sequence nor an instant"),
        ((cli.dev, cli.saga_id, "--speed", "fast"), 2, "how many times as fast"),
        ((cli.dev, cli.saga_id, "--let-out", "no name"), 2, "no subject token"),
        (("", cli.saga_id), 2, "--into needs the name"),
        ((cli.namespace, cli.saga_id), 4, "is the one that is read"),
        ((cli.dev, "unknown"), 3, "no saga unknown"),
    ):
        code, _, err = await cli.run("replay", "--into", *arguments)
        assert (code, len(err.strip().splitlines())) == (expected, 1), err
        assert words in err
    code, _, err = await cli.run("replay", cli.saga_id, "--effects")
    assert (code, "name it (--into)" in err) == (2, True)
    cli.environment["SAGA_BUS_NAMESPACE"] += "-nowhere"
    code, _, err = await cli.play(cli.saga_id)
    assert (code, "nothing was ever served on this bus" in err) == (3, True)
    cli.environment["SAGA_BUS_NAMESPACE"] = cli.namespace
    await dev.publish(CHAIN)
    await dev.start(CHAIN, value=1)
    code, _, err = await cli.play(cli.saga_id)
    assert (code, "has facts of its own" in err) == (4, True)
