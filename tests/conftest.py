"""Real servers for all tests: `NATS_URL`, else testcontainers (`SAGA_TEST_CONTAINERS=1`), else the embedded."""

import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from contracts.ids import new_saga_id
from events.bus import Bus
from events.definitions import Definitions
from events.embedded import check_server, server
from events.settings import BusSettings
from events.streams import declare
from tests.world import Running, World

_NATS_PORT = 4222


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
