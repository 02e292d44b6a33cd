"""A service's own database lets go of what a cancelled transaction held."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from events.database import Database, make_engine

_LONG = """WITH RECURSIVE numbers(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM numbers WHERE x < 1000000)
SELECT count(*) FROM numbers"""


@pytest.fixture
def nothing_is_collected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """The same database, opened by another process."""
    opened = Database(make_engine(database_url))
    yield opened
    await opened.close()


@pytest.mark.parametrize("turns", [0, 1, 10, 100])
async def test_a_transaction_that_is_cancelled_in_a_statement_holds_up_nobody(
    database: Database, other: Database, nothing_is_collected: None, turns: int
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name TEXT)"))
    written = asyncio.Event()

    async def write() -> None:
        async with database.engine.begin() as connection:
            await connection.execute(text("INSERT INTO things VALUES ('a')"))
            written.set()
            await connection.execute(text(_LONG))

    writing = asyncio.create_task(write())
    await written.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await writing
    async with other.engine.begin() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 0
    assert cancelled.value is not None
