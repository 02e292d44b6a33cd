"""A log is rebuilt from facts alone, goes on after a crash, and is compared row by row."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from contracts.failure import Conflict, NotFound
from events.bus import Bus
from events.database import Database
from events.definitions import Definitions
from events.settings import BusSettings
from saga.log.compare import Comparison, compare
from saga.log.rebuild import rebuild
from saga.log.service import LogService
from saga.log.store import open_log
from saga.log.swap import swap
from saga.log.tables import FactRow, LabelRow, RejectedRow, SagaRow, StepRow, table_of
from tests.saga.small import CHAIN, actions, refuse
from tests.world import Running, World

SAGAS = 8
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Stopped(Exception):
    """What a test raises in the middle of a rebuild."""


def nobody(done: int, total: int) -> None:
    """Is told how far a rebuild has got."""


def url_of(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


type Opened = Callable[[str], AbstractAsyncContextManager[Database]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return lambda name: open_log(url_of(tmp_path / f"{name}.db"))


@pytest.fixture
async def old(running: Running, world: World, opened: Opened) -> AsyncIterator[Database]:
    """A log of sagas of which half were undone, and one message that is no fact; it hears no more."""
    world.behaviours["c"] = refuse
    await running.publish(CHAIN)
    async with opened("old") as database:
        async with LogService(running.bus, database, running.definitions) as log:
            for saga_id, status in await play(running, world):
                await running.stated(saga_id, ("_saga", status))
            await running.bus.jetstream.publish(
                f"{running.bus.subjects.root}.0.chain.a.completed.x", b"no fact"
            )
            await log.caught_up()
        yield database


async def play(running: Running, world: World) -> list[tuple[str, str]]:
    """Run sagas, half of them undone; their ids and how they ended."""
    ended = []
    async with running.serving(*actions(world, "a", "b", "c")):
        for number in range(SAGAS):
            if number == SAGAS // 2:
                del world.behaviours["c"]
            saga_id = await running.start(CHAIN, value=number)
            ended.append((saga_id, str((await running.ended(CHAIN, saga_id)).status)))
        world.behaviours["c"] = refuse
    return ended


async def count(database: Database, table: type) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(table_of(table)))).scalar_one())


def places(found: Comparison) -> set[tuple[str, str, str]]:
    return {(one.table, one.row, one.column) for one in found.differences}


async def test_a_rebuilt_log_is_the_old_one_row_by_row(
    running: Running, old: Database, database_url: str
) -> None:
    async with open_log(database_url) as new:
        messages = await rebuild(running.bus, running.definitions, new, old=None, tell=nobody)
        found = await compare(old, new)
        assert (found.sagas, found.passed_over, found.different) == (SAGAS, 0, 0)
        assert messages == found.rows - await count(new, SagaRow) - await count(new, StepRow) + 1
        assert await count(new, RejectedRow) == 1


async def test_a_rebuild_states_nothing_and_buries_nothing(
    running: Running, old: Database, opened: Opened
) -> None:
    letters = await running.letters(0)
    facts = (await running.bus.jetstream.stream_info(running.bus.names.facts(0))).state.last_seq
    async with opened("new") as new:
        await rebuild(running.bus, running.definitions, new, old=None, tell=nobody)
    assert (await running.bus.jetstream.stream_info(running.bus.names.facts(0))).state.last_seq == facts
    assert len(await running.letters(0)) == len(letters)


async def test_a_rebuild_that_died_goes_on_where_it_was(
    running: Running, old: Database, opened: Opened
) -> None:
    told: list[tuple[int, int]] = []

    def die(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 2:
            raise Stopped

    async with opened("new") as new:
        with pytest.raises(Stopped):
            await rebuild(running.bus, running.definitions, new, old=None, tell=die, page=10)
    async with opened("new") as new:
        rest = await rebuild(running.bus, running.definitions, new, old=None, tell=nobody)
        assert rest == told[-1][1] - told[-1][0]
        assert (await compare(old, new)).different == 0
        assert await rebuild(running.bus, running.definitions, new, old=None, tell=nobody) == 0


async def test_what_the_stream_no_longer_keeps_comes_from_the_old_log(
    running: Running, old: Database, opened: Opened
) -> None:
    stream = (await running.bus.jetstream.stream_info(running.bus.names.facts(0))).config
    await running.bus.jetstream.update_stream(stream.evolve(max_msgs=5))
    async with opened("new") as new, opened("without") as without:
        await rebuild(running.bus, running.definitions, new, old=old, tell=nobody)
        found = await compare(old, new)
        assert (found.sagas, found.different) == (SAGAS, 0)
        await rebuild(running.bus, running.definitions, without, old=None, tell=nobody)
        assert ("sagas", "", "") in places(await compare(old, without))


async def test_every_kind_of_damage_is_found(running: Running, old: Database, opened: Opened) -> None:
    async with opened("new") as new:
        await rebuild(running.bus, running.definitions, new, old=None, tell=nobody)
        async with old.engine.begin() as damage:
            sagas, steps, facts = map(table_of, (SagaRow, StepRow, FactRow))
            ids = list((await damage.execute(select(sagas.c.saga_id).order_by(sagas.c.saga_id))).scalars())
            await damage.execute(update(sagas).where(sagas.c.saga_id == ids[0]).values(status="failed"))
            await damage.execute(delete(sagas).where(sagas.c.saga_id == ids[1]))
            await damage.execute(
                update(steps).where(steps.c.saga_id == ids[2], steps.c.step == "b").values(attempt=7)
            )
            await damage.execute(
                delete(facts).where(facts.c.saga_id == ids[3], facts.c.step == "a", facts.c.kind == "started")
            )
            await damage.execute(table_of(LabelRow).insert().values(saga_id=ids[4], name="team", value="red"))
        found = await compare(old, new)
    by_saga = {one.saga_id: (one.table, one.column, one.said, one.should) for one in found.differences}
    assert by_saga[ids[0]][:3] == ("sagas", "status", "failed")
    assert by_saga[ids[1]] == ("sagas", "", "no row", "a row")
    assert by_saga[ids[2]] == ("steps", "attempt", "7", "1")
    assert by_saga[ids[3]] == ("facts", "", "no row", "a row")
    assert by_saga[ids[4]] == ("labels", "", "a row", "no row")
    assert found.different == len(by_saga) == 5


async def test_a_saga_that_has_moved_on_is_passed_over(
    running: Running, old: Database, opened: Opened, world: World
) -> None:
    await play(running, world)
    async with opened("new") as new:
        await rebuild(running.bus, running.definitions, new, old=None, tell=nobody)
        found = await compare(old, new)
    assert (found.sagas, found.passed_over, found.different) == (SAGAS, SAGAS, 0)


async def test_a_bus_without_a_stream_is_told(bus_settings: BusSettings, opened: Opened) -> None:
    settings = bus_settings.model_copy(update={"namespace": "nowhere"})
    async with await Bus.connect(settings) as bus, opened("new") as new:
        with pytest.raises(NotFound, match="nothing was ever served"):
            await rebuild(bus, Definitions, new, old=None, tell=nobody)  # type: ignore[arg-type]


async def test_the_rebuilt_log_takes_the_place_of_the_old_one_which_is_kept(tmp_path: Path) -> None:
    log, rebuilt = tmp_path / "log.db", tmp_path / "rebuilt.db"
    for file in (log, rebuilt):
        async with open_log(url_of(file)) as database, database.engine.begin() as connection:
            await connection.execute(
                table_of(LabelRow).insert().values(saga_id=file.stem, name="n", value="v")
            )
    kept = swap(log, rebuilt, NOW)
    assert kept == tmp_path / "log.before-20260131T120000000000.db"
    for file, content in ((log, "rebuilt"), (kept, "log")):
        async with open_log(url_of(file)) as database, database.reading() as connection:
            assert (await connection.execute(select(table_of(LabelRow)))).one().saga_id == content
    assert not rebuilt.exists()


async def test_a_log_that_is_in_use_is_not_swapped(tmp_path: Path) -> None:
    log, rebuilt = tmp_path / "log.db", tmp_path / "rebuilt.db"
    async with open_log(url_of(rebuilt)):
        """It is closed again."""
    async with open_log(url_of(log)) as database:
        async with database.reading() as connection:
            await connection.execute(select(table_of(LabelRow)))
        with pytest.raises(Conflict, match="in use"):
            swap(log, rebuilt, NOW)
        async with database.engine.begin() as connection:
            await connection.execute(table_of(LabelRow).insert().values(saga_id="s", name="n", value="v"))
    assert rebuilt.exists()
    assert swap(log, rebuilt, NOW) is not None


async def test_a_log_that_is_no_database_any_more_or_is_gone_is_replaced(tmp_path: Path) -> None:
    log, rebuilt = tmp_path / "log.db", tmp_path / "rebuilt.db"
    log.write_bytes(b"nonsense" * 1000)
    for expected in (True, False):
        async with open_log(url_of(rebuilt)):
            """It is closed again."""
        assert (swap(log, rebuilt, NOW) is not None) is expected
        async with open_log(url_of(log)) as database:
            assert await count(database, LabelRow) == 0
        log.unlink()
