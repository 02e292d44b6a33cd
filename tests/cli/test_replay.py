"""`saga replay`, run as people run it: as a process; with --step, in a terminal."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from tests.commands import saga
from tests.saga.small import CHAIN, actions, refuse
from tests.world import Running, World

SAGA = [sys.executable, "-m", "saga.cli.main"]


class Cli:
    """Runs `saga` against an API with one undone saga."""

    def __init__(self, api: str, saga_id: str) -> None:
        self.saga_id = saga_id
        self.environment = {**os.environ, "SAGA_API_URL": api, "COLUMNS": "200"}

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        return await saga(*arguments, env=self.environment, stdin=stdin)

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def cli(running: Running, world: World, data: Path) -> AsyncIterator[Cli]:
    world.behaviours["c"] = refuse
    await running.publish(CHAIN)
    async with (
        open_parts(running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}") as parts,
        serve_api(create_app(parts)) as api,
    ):
        async with running.serving(*actions(world, "a", "b", "c")):
            saga_id = await running.start(CHAIN, value=1)
            await running.stated(saga_id, ("_saga", "compensated"))
        await parts.log.caught_up()
        yield Cli(api, saga_id)


async def test_a_saga_is_told_with_every_decision(cli: Cli) -> None:
    code, out, err = await cli.run("replay", cli.saga_id)
    assert (code, err) == (0, "")
    assert "the saga turned round, because c failed" in out
    assert "the saga: running -> compensating" in out
    assert "all it needs has been stated, and this fact is the last of it" in out
    answer = await cli.json("replay", cli.saga_id, "--until", "1")
    assert [frame["sequence"] for frame in answer["frames"]] == [1]


async def test_a_recorded_saga_is_replayed_without_a_server(cli: Cli, tmp_path: Path) -> None:
    from_stream = await cli.json("replay", cli.saga_id)
    _, recorded, _ = await cli.run("events", cli.saga_id, "-o", "jsonl")
    (tmp_path / "chain.json").write_text(CHAIN.model_dump_json())
    (tmp_path / "saga.jsonl").write_text(recorded)
    lonely = Cli("http://127.0.0.1:9", cli.saga_id)
    definition = ("--definition", str(tmp_path / "chain.json"))
    file = ("--file", str(tmp_path / "saga.jsonl"))
    code, _, err = await lonely.run("replay", *file)
    assert (code, "give its file with --definition" in err) == (3, True)
    assert (await lonely.json("replay", *file, *definition))["frames"] == from_stream["frames"]
    code, out, _ = await lonely.run("replay", "--file", "-", *definition, "-o", "jsonl", stdin=recorded)
    assert [json.loads(line) for line in out.splitlines()] == from_stream["frames"]


async def test_the_log_is_compared(cli: Cli) -> None:
    code, out, _ = await cli.run("replay", cli.saga_id, "--diff")
    assert (code, out.strip()) == (0, "the log says what the stream says")
    assert (await cli.run("replay", "--diff", "--file", "any"))[0] == 2


async def test_errors_are_one_line_and_an_exit_code(cli: Cli) -> None:
    assert (await cli.run("replay", "unknown"))[0] == 3
    assert (await cli.run("replay", cli.saga_id, "--until", "soon"))[0] == 2
    assert (await cli.run("replay", "--file", "/no/such/file"))[0] == 3
    for arguments in (("replay",), ("replay", cli.saga_id, "--step")):
        code, out, err = await cli.run(*arguments)
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1)


async def test_keys_lead_forward_and_back_in_a_terminal(cli: Cli) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *SAGA, "replay", cli.saga_id, "--step", env=cli.environment | {"TERM": "xterm"},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    terminal = Terminal(ours)
    try:
        async with asyncio.timeout(30):
            await terminal.shows("fact 1 of ")
            await terminal.presses("n", then="fact 2 of ")
            await terminal.presses("\x1b[C", then="fact 3 of ")
            await terminal.presses("p", then="fact 2 of ")
            await terminal.presses("G", then="the log recorded the outcome: compensated")
            await terminal.presses("g", then="the saga started")
            os.write(ours, b"q")
            assert await process.wait() == 0
    finally:
        terminal.close()


class Terminal:
    """What a process shows on a terminal, read as it comes."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._shown = ""
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(side, self._read)

    def _read(self) -> None:
        try:
            self._shown += os.read(self._side, 65536).decode(errors="replace")
        except OSError:
            # The other side has closed it.
            asyncio.get_running_loop().remove_reader(self._side)
        self._came.set()

    async def shows(self, text: str) -> None:
        while text not in self._shown:
            self._came.clear()
            await self._came.wait()

    async def presses(self, key: str, *, then: str) -> None:
        self._shown = ""
        os.write(self._side, key.encode())
        await self.shows(then)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._side)
        os.close(self._side)
