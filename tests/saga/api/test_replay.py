"""Replaying over HTTP: from the stream, compared with the log."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import update

from contracts.facts import FactKind
from saga.api.app import create_app, open_parts
from saga.api.parts import Parts
from saga.api.server import serve_api
from saga.log.store import open_log
from saga.log.tables import SagaRow, table_of
from tests.saga.small import CHAIN, actions
from tests.world import Running, World


@pytest.fixture
async def parts(running: Running, data: Path) -> AsyncIterator[Parts]:
    await running.publish(CHAIN)
    async with open_parts(running.bus, running.definitions, log_url(data)) as opened:
        yield opened


@pytest.fixture
async def api(parts: Parts) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serve_api(create_app(parts)) as url,
        httpx2.AsyncClient(base_url=f"{url}/api/v1/sagas", trust_env=False) as client,
    ):
        yield client


def log_url(data: Path) -> str:
    return f"sqlite+aiosqlite:///{data / 'log.db'}"


async def ended(running: Running, world: World, parts: Parts) -> str:
    async with running.serving(*actions(world, "a", "b", "c")):
        saga_id = await running.start(CHAIN, value=1)
        await running.stated(saga_id, ("_saga", FactKind.COMPLETED))
    await parts.log.caught_up()
    return saga_id


async def test_a_saga_is_replayed_up_to_a_fact(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World
) -> None:
    saga_id = await ended(running, world, parts)
    answer = (await api.get(f"/{saga_id}/replay")).json()
    assert (answer["definition"], answer["whole"], answer["differences"]) == ("chain@1", True, [])
    assert (answer["log_behind"], answer["frames"][-1]["status"]) == (0, "completed")
    first = answer["frames"][0]
    assert [(one["step"], one["verdict"]) for one in first["decided"]] == [("a", "run")]
    part = (await api.get(f"/{saga_id}/replay", params={"until": first["sequence"]})).json()
    assert part["frames"] == [first]


async def test_a_log_that_says_otherwise_is_told(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World, data: Path
) -> None:
    saga_id = await ended(running, world, parts)
    async with open_log(log_url(data)) as database, database.engine.begin() as connection:
        await connection.execute(update(table_of(SagaRow)).values(status="compensated"))
    answer = (await api.get(f"/{saga_id}/replay")).json()
    assert answer["differences"] == ["_saga: the log says status compensated, the stream completed"]


async def test_what_the_stream_no_longer_keeps_is_replayed_from_the_log(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World
) -> None:
    saga_id = await ended(running, world, parts)
    stream = (await running.bus.jetstream.stream_info(running.bus.names.facts(0))).config
    await running.bus.jetstream.update_stream(stream.evolve(max_msgs=1))
    answer = (await api.get(f"/{saga_id}/replay")).json()
    assert (answer["whole"], answer["frames"][-1]["status"]) == (True, "completed")


async def test_nonsense_is_refused(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/unknown/replay")).status_code == 404
    assert (await api.get("/unknown/replay", params={"until": "soon"})).status_code == 422
