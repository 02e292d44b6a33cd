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


async def test_an_archive_keeps_what_its_policy_says(cli: Cli, running: Running, tmp_path: Path) -> None:
    folder = str(tmp_path / "archive")
    code, _, err = await cli.run("archive", folder, "--older-than-s", "0", "--keep-days", "1")
    assert (code, "no longer kept" in err) == (0, False)
    (would,) = await cli.json("archive", folder, "--keep-bytes", "0", "--dry-run")
    assert would["reason"] == "more than 0 bytes were held"
    assert await cli.json("archive", folder, "--prune") == []
    (gone,) = await cli.json("archive", folder, "--prune", "--keep-bytes", "0")
    assert (gone["file"], (tmp_path / "archive" / gone["file"]).exists()) == (would["file"], False)
    verified = await cli.json("archive", folder, "--verify")
    assert (verified["segments"], verified["removed"], verified["gaps"]) == (0, 1, 0)
    await running.client.start(CHAIN.ref, {"value": 1})
    code, _, err = await cli.run("archive", folder, "--older-than-s", "0")
    assert (code, "1 segments are no longer kept: facts-0-" in err) == (0, True)
    await running.client.start(CHAIN.ref, {"value": 2})
    (kept,) = await cli.json("archive", folder, "--older-than-s", "0", "--keep-all")
    assert (tmp_path / "archive" / kept["file"]).exists()
    assert (await cli.run("archive", folder, "--keep-all", "--keep-days", "1"))[0] == 2
    assert (await cli.run("archive", str(tmp_path / "none"), "--prune"))[0] == 3
    (tmp_path / "archive" / kept["file"]).write_bytes(b"")
    code, _, err = await cli.run("archive", folder, "--prune", "--keep-bytes", "0")
    assert (code, "does not fit" in err, len(err.strip().splitlines())) == (4, True, 1)


async def test_who_archives_too_late_is_warned(cli: Cli, running: Running, tmp_path: Path) -> None:
    stream = (await running.bus.jetstream.stream_info(running.bus.names.facts(0))).config
    await running.bus.jetstream.update_stream(stream.evolve(max_age=3600))
    folder = str(tmp_path / "archive")
    code, _, err = await cli.run("archive", folder, "--older-than-s", "3600")
    assert (code, "the stream keeps a fact for 3600 s" in err) == (0, True)
    code, _, err = await cli.run("archive", folder, "--older-than-s", "60")
    assert (code, err) == (0, "")


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
