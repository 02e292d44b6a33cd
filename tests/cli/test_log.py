"""`saga log rebuild|verify`, run as people run it: as a process, on a real bus and a real log."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from events.bus import Bus
from saga.log.service import LogService
from saga.log.store import open_log
from saga.log.tables import SagaRow, table_of
from tests.commands import saga
from tests.saga.small import CHAIN, actions
from tests.world import Running, World


@dataclass
class Cli:
    """Runs `saga log` on the bus of the test, with the log in its file."""

    file: Path
    bus: Bus

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.file}"

    async def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        environment = {
            **os.environ,
            "NATS_URL": self.bus.settings.url,
            "SAGA_BUS_NAMESPACE": self.bus.settings.namespace,
            "SAGA_LOG_DATABASE_URL": self.url,
        }
        code, out, err = await saga("log", *arguments, "-o", "json", env=environment)
        return code, json.loads(out or "{}"), err

    async def damage(self) -> None:
        async with open_log(self.url) as database, database.engine.begin() as connection:
            await connection.execute(update(table_of(SagaRow)).values(status="failed"))


@pytest.fixture
async def cli(running: Running, world: World, tmp_path: Path) -> Cli:
    """A log that has heard of three sagas, and is stopped."""
    found = Cli(tmp_path / "saga-log.db", running.bus)
    await running.publish(CHAIN)
    async with open_log(found.url) as database:
        async with (
            LogService(running.bus, database, running.definitions) as log,
            running.serving(*actions(world, "a", "b", "c")),
        ):
            for number in range(3):
                saga_id = await running.start(CHAIN, value=number)
                await running.stated(saga_id, ("_saga", "completed"))
            await log.caught_up()
    return found


async def test_a_log_is_verified_and_what_is_wrong_is_named(cli: Cli) -> None:
    code, report, err = await cli.run("verify")
    assert (code, report["sagas"], report["different"]) == (0, 3, 0), err
    await cli.damage()
    code, report, _ = await cli.run("verify")
    assert (code, report["different"]) == (10, 3)
    first = report["differences"][0]
    assert (first["column"], first["said"], first["should"]) == ("status", "failed", "completed")


async def test_a_log_is_rebuilt_and_swapped_once_its_differences_are_accepted(cli: Cli) -> None:
    await cli.damage()
    code, report, _ = await cli.run("rebuild")
    assert (code, report["swapped"], report["different"]) == (10, False, 3)
    code, report, _ = await cli.run("rebuild", "--accept-differences")
    # It had been rebuilt before: nothing was left to do.
    assert (code, report["swapped"], report["messages"]) == (0, True, 0)
    assert Path(report["old_log"]).exists()
    assert (await cli.run("verify"))[:1] == (0,)


async def test_a_log_in_use_is_rebuilt_but_not_swapped(cli: Cli) -> None:
    async with open_log(cli.url) as database, database.reading():
        code, _, err = await cli.run("rebuild")
    assert (code, "stop the saga log" in err, len(err.strip().splitlines())) == (4, True, 1)
    code, report, _ = await cli.run("rebuild")
    assert (code, report["swapped"], report["messages"]) == (0, True, 0)
    code, report, _ = await cli.run("rebuild", "--fresh")
    assert (code, report["messages"] > 0) == (0, True)


async def test_a_log_that_is_gone_or_broken_is_made_anew(cli: Cli) -> None:
    cli.file.write_bytes(b"nonsense" * 1000)
    code, _, err = await cli.run("rebuild")
    assert (code, "--without-old" in err) == (6, True)
    code, report, _ = await cli.run("rebuild", "--without-old")
    assert (code, report["swapped"], report["compared"]) == (0, True, False)
    cli.file.unlink()
    code, report, _ = await cli.run("rebuild")
    assert (code, report["swapped"], report["old_log"]) == (0, True, None)
    assert (await cli.run("verify"))[0] == 0


async def test_another_database_is_filled_and_nothing_swapped(cli: Cli, tmp_path: Path) -> None:
    other = f"sqlite+aiosqlite:///{tmp_path / 'other.db'}"
    code, report, _ = await cli.run("rebuild", "--into", other)
    assert (code, report["swapped"], report["different"]) == (0, False, 0)
    assert (await cli.run("verify", "--log", other))[0] == 0
    assert (await cli.run("rebuild", "--into", other, "--fresh"))[0] == 2
    assert (await cli.run("verify", "--log", f"sqlite+aiosqlite:///{tmp_path / 'none.db'}"))[0] == 6
