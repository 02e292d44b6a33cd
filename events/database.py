"""A service's own database: SQLite by default, PostgreSQL by URL. What is decided once is decided for all.

SQLite: WAL with `synchronous=FULL`, so that what a fact says is on disk before the fact is stated; every
transaction begins IMMEDIATE, because a read that turns into a write fails at once instead of waiting. So
there is one writer at a time.

PostgreSQL: many writers at a time, READ COMMITTED. Whoever reads in order to decide what to write locks the
row it reads (`with_for_update`), or, where there may be no row yet, comes one at a time (`one_at_a_time`).
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Table, event, func, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel.ext.asyncio.session import AsyncSession

_BUSY_TIMEOUT_MS = 15_000
_POOL_TIMEOUT_S = 60
# A server allows 100 connections unless told otherwise, and each of a domain's services has a pool.
_POOL = 8
_READING = "saga_reading"


def make_engine(url: str, *, synchronous: str = "FULL", readers: int = 0) -> AsyncEngine:
    """An engine whose transactions are safe for several processes on one database.

    SQLite: one connection that writes, fair and cheap to wait for, since there is one writer anyway;
    `readers` more connections for `Database.reading`.
    """
    if make_url(url).get_backend_name() != "sqlite":
        return create_async_engine(
            url, pool_pre_ping=True, pool_size=_POOL, max_overflow=0, pool_timeout=_POOL_TIMEOUT_S
        )
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 + readers,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_S,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "invalidate")
    def roll_back(connection: Any, _: Any, error: BaseException | None) -> None:
        # Closed with a statement that somebody still refers to, as the traceback of a cancelled task does, SQLite
        # would keep the transaction and its lock until the garbage collector comes.
        if error is not None:
            # A second cancellation adds nothing to the first, and must not keep the connection from its end.
            with suppress(SQLAlchemyError, sqlite3.Error, asyncio.CancelledError):
                connection.rollback()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


async def one_at_a_time(within: AsyncSession | AsyncConnection, what: str) -> None:
    """Until this transaction ends, no other gets past here with the same words. Call it before you read."""
    connection = within if isinstance(within, AsyncConnection) else await within.connection()
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


class Database:
    """An open database. `transaction` gives a session whose work is committed at the end of the block."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @property
    def engine(self) -> AsyncEngine:
        return self._engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """All or nothing: an exception rolls back everything done in the block."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent reading that holds up no writer."""
        async with self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            await connection.execution_options(**{_READING: True})
            async with connection.begin():
                yield connection

    async def create(
        self, tables: Iterable[Table], seed: Callable[[AsyncSession], Awaitable[None]] | None = None
    ) -> None:
        """Create the tables that do not exist yet; if there were any, `seed` them in the same transaction."""
        async with AsyncSession(self._engine) as session, session.begin():
            await one_at_a_time(session, "create tables")
            connection = await session.connection()
            present = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
            missing = [table for table in tables if table.name not in present]
            for table in missing:
                await connection.run_sync(table.create)
            if missing and seed is not None:
                await seed(session)

    async def close(self) -> None:
        await self._engine.dispose()
