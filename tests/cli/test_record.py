"""`saga export sagas`, `saga import`, `saga archive`, run as people run them: as a process, on a real bus."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.commands import saga
from tests.saga.small import CHAIN, actions
from tests.world import Running, World


class Cli:
    """Runs `saga` on the bus of the test."""

    def __init__(self, running: Running, saga_id: str) -> None:
        self.saga_id = saga_id
        settings = running.bus.settings
        self.environment = {**os.environ, "NATS_URL": settings.url, "SAGA_BUS_NAMESPACE": settings.namespace}

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        return await saga(*arguments, env=self.environment | environment)

    async def json(self, *arguments: str, **environment: str) -> Any:
        code, out, err = await self.run(*arguments, "-o", "json", **environment)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def cli(running: Running, world: World) -> Cli:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1, token="t-1", phone="0123")
        await running.ended(CHAIN, saga_id)
    return Cli(running, saga_id)


async def test_a_saga_is_exported_replayed_and_imported_elsewhere(cli: Cli, tmp_path: Path) -> None:
    file = str(tmp_path / "saga.jsonl.zst")
    code, out, err = await cli.run("export", "sagas", cli.saga_id, "--out", file, "--redact", "phone")
    assert (code, out, f"in {file}" in err) == (0, "", True)
    replayed = await cli.json("replay", cli.saga_id, "--file", file)
    assert replayed["frames"][-1]["status"] == "completed"
    assert replayed["frames"][0]["fact"]["data"]["input"] == {
        "value": 1, "token": "[redacted]", "phone": "[redacted]",
    }  # fmt: skip
    elsewhere = {"SAGA_BUS_NAMESPACE": f"{cli.environment['SAGA_BUS_NAMESPACE']}-else"}
    done = await cli.json("import", file, **elsewhere)
    assert (done["sagas"], done["facts"]) == (1, len(replayed["frames"]))
    assert (await cli.json("import", file, **elsewhere))["there_already"] == 1
    code, out, _ = await cli.run("export", "sagas", cli.saga_id, **elsewhere)
    assert (code, len(out.splitlines())) == (0, len(replayed["frames"]) + 2)


async def test_an_archive_is_made_checked_and_replayed(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    (segment,) = await cli.json("archive", str(folder), "--older-than-s", "0")
    assert (await cli.json("archive", str(folder), "--verify"))["messages"] == segment["messages"]
    replayed = await cli.json("replay", cli.saga_id, "--file", str(folder))
    assert replayed["frames"][-1]["status"] == "completed"
    with (folder / segment["file"]).open("ab") as file:
        file.write(b"more")
    code, _, err = await cli.run("archive", str(folder), "--verify")
    assert (code, "is damaged" in err) == (10, True)
    assert (await cli.run("replay", cli.saga_id, "--file", str(folder)))[0] == 2


async def test_errors_are_one_line_and_an_exit_code(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "none.jsonl"
    code, _, err = await cli.run("export", "sagas", "unknown", "--out", str(out))
    assert (code, len(err.strip().splitlines()), out.exists()) == (3, 1, False)
    assert (await cli.run("export", "sagas", "--since", "yesterday"))[0] == 2
    assert (await cli.run("export", "sagas", "--no-redaction", "--redact", "phone"))[0] == 2
    assert (await cli.run("import", str(out)))[0] == 3
    (tmp_path / "bad.jsonl.zst").write_bytes(b"no archive")
    assert (await cli.run("import", str(tmp_path / "bad.jsonl.zst")))[0] == 2
    assert (await cli.run("archive", str(tmp_path), "--verify"))[0] == 3
