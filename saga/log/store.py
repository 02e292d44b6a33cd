"""Opening the log's database: one engine, its schema brought up to date by Alembic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from events.database import Database, make_engine, one_at_a_time

MIGRATIONS = Path(__file__).parent / "migrations"


@asynccontextmanager
async def open_log(url: str) -> AsyncIterator[Database]:
    """The log's database at an SQLAlchemy URL (`sqlite+aiosqlite:///log.db`, `postgresql+asyncpg://...`)."""
    if (
        (path := make_url(url).database)
        and make_url(url).get_backend_name() == "sqlite"
        and path != ":memory:"
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    # NORMAL may lose the newest rows in a power cut, together with the position: they are read again.
    database = Database(make_engine(url, synchronous="NORMAL", readers=4))
    try:
        async with database.engine.begin() as connection:
            await one_at_a_time(connection, "migrate the log")
            await connection.run_sync(_upgrade)
        yield database
    finally:
        await database.close()


def _upgrade(connection: Connection) -> None:
    command.upgrade(migration_config(connection), "head")


def migration_config(connection: Any) -> Config:
    """Alembic's configuration for a connection, without a file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
