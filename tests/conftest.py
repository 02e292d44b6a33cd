"""Real servers for all tests: `NATS_URL`, else testcontainers (`SAGA_TEST_CONTAINERS=1`), else the embedded."""

import gc
import os
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

import httpcore2
import hypothesis
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from contracts.ids import new_saga_id
from events.bus import Bus
from events.database import Database, make_engine
from events.definitions import Definitions
from events.embedded import check_server, server
from events.settings import BusSettings
from events.streams import declare
from tests.postgres import NoPostgres, postgres_server
from tests.world import Running, World

_NATS_PORT = 4222
_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 2 * 1024**3
_YOUNG_OBJECTS = 50_000
_FREE_DATABASES: dict[str, list[str]] = defaultdict(list)


def _work_in_memory() -> None:
    """The stores and databases of tests are thrown away: where memory allows, no disk is waited for.

    A `TMPDIR` that is set wins.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


_work_in_memory()
gc.set_threshold(_YOUNG_OBJECTS)
# How long an example takes is the machine's business.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """What has been imported stays: the garbage collector need not look through it in every test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def certificates_are_loaded_once() -> Iterator[None]:
    """Else every HTTP client takes 20 ms for them, and nearly every test has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> None:
    import logging

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(
            getattr(logging, os.environ.get("SAGA_LOG_LEVEL", "CRITICAL"))
        )
    )


def database_threads() -> set[threading.Thread]:
    """Threads of open aiosqlite connections; they bear no name of their own, only their function does."""
    return {
        thread
        for thread in threading.enumerate()
        if getattr(getattr(thread, "_target", None), "__module__", "") == "aiosqlite.core"
    }


@pytest.fixture(autouse=True)
def no_database_stays_open(quiet_logs: None) -> Iterator[None]:
    """A connection that a test leaves open keeps its thread, and the process, alive for ever."""
    before = database_threads()
    yield
    left = database_threads() - before
    for thread in left:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in left), "a database connection was left open"


@pytest.fixture(scope="session")
def container_url() -> Iterator[str | None]:
    if os.environ.get("NATS_URL") or os.environ.get("SAGA_TEST_CONTAINERS") != "1":
        yield None
        return
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    # Its own NatsContainer waits in a way that warns of its end, and warnings are errors here.
    container = DockerContainer("nats:2.15-alpine").with_command("-js").with_exposed_ports(_NATS_PORT)
    with container.waiting_for(LogMessageWaitStrategy("Server is ready")):
        yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(_NATS_PORT)}"


@pytest.fixture(scope="session")
async def nats_url(container_url: str | None) -> AsyncIterator[str]:
    if container_url is not None:
        await check_server(container_url)
        yield container_url
        return
    # Tests that need durable syncs start a server of their own.
    async with server(os.environ, sync_interval="2m") as url:
        yield url


@pytest.fixture
def namespace() -> str:
    """A namespace of the test's own, so that tests can share one server."""
    return f"t{new_saga_id().replace('-', '')}"


@pytest.fixture
def bus_settings(nats_url: str, namespace: str) -> BusSettings:
    return BusSettings(url=nats_url, namespace=namespace, ack_wait_s=2.0)


@pytest.fixture
async def bus(bus_settings: BusSettings) -> AsyncIterator[Bus]:
    async with await Bus.connect(bus_settings) as connected:
        await declare(connected)
        yield connected


@pytest.fixture
async def definitions(bus: Bus) -> AsyncIterator[Definitions]:
    async with Definitions.open(bus) as opened:
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def running(bus: Bus, definitions: Definitions, data: Path) -> Running:
    return Running(bus, definitions, data)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL; without one, its tests are skipped and say why."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except NoPostgres as error:
            pytest.skip(str(error))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """An empty database: a SQLite file, then one on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('database') / 'test.db'}"
        return
    async with own_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(make_engine(database_url))
    yield opened
    await opened.close()


@asynccontextmanager
async def own_database(postgres_url: str) -> AsyncIterator[str]:
    """An empty database on the server. It is emptied and used again: to make one takes a quarter of a second."""
    free = _FREE_DATABASES[postgres_url]
    async with _autocommitting(make_url(postgres_url)) as server:
        if not free:
            free.append(f"t{new_saga_id().replace('-', '')}")
            await server.execute(text(f"CREATE DATABASE {free[-1]}"))
        url = make_url(postgres_url).set(database=free.pop())
        yield url.render_as_string(hide_password=False)
        await server.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
    async with _autocommitting(url) as left:
        await left.execute(text("DROP SCHEMA public CASCADE"))
        await left.execute(text("CREATE SCHEMA public"))
    free.append(str(url.database))


@asynccontextmanager
async def _autocommitting(url: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
