"""The health of the whole, over real HTTP: every part that ails is named, and what is well is not."""

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.breakers import BreakerConfig
from contracts.definition import SagaDefinition, Step
from events.bus import Bus
from events.clock import utc_now
from events.definitions import Definitions
from events.embedded import EmbeddedServer
from events.servers import find_binary
from events.settings import BusSettings
from events.streams import declare
from saga.action import Unavailable
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.breaker import shared_breakers
from saga.execution import counts_against
from tests.world import Running, World

HEALTH = "/api/v1/orchestration/health"
DEFINITION = SagaDefinition(name="one", steps=(Step(name="a", action="test.a"),))


@pytest.fixture
async def health(api: httpx2.AsyncClient, running: Running) -> httpx2.AsyncClient:
    await running.publish(DEFINITION)
    return api


async def asked(health: httpx2.AsyncClient, status: str) -> dict[str, Any]:
    """The health as soon as it is of that status."""
    async with asyncio.timeout(20):
        while True:
            answer = await health.get(HEALTH)
            found: dict[str, Any] = answer.json()
            if found["status"] == status:
                assert answer.status_code == (503 if status == "down" else 200)
                return found


async def test_a_system_without_anything_to_do_is_well(health: httpx2.AsyncClient) -> None:
    found = await asked(health, "ok")
    assert found["reasons"] == []
    assert (found["bus"]["answers"], found["log"]["follows"], found["log"]["lag"]) == (True, True, 0)
    (participant,) = found["participants"]
    assert (participant["name"], participant["asking"], participant["neglected"]) == ("test-a", 0, False)


async def test_facts_that_nobody_takes_are_told_until_somebody_does(
    health: httpx2.AsyncClient, running: Running, world: World
) -> None:
    saga_id = await running.start(DEFINITION, value=1)
    found = await asked(health, "degraded")
    assert found["reasons"] == ["nobody takes the 1 facts for test-a (partition 0)"]
    async with running.serving(world.action("a")):
        assert (await running.ended(DEFINITION, saga_id)).status == "completed"
        (participant,) = (await asked(health, "ok"))["participants"]
        assert participant["asking"] > 0


async def test_a_service_that_is_gone_is_told_once_its_silence_is_no_accident(
    health: httpx2.AsyncClient, running: Running, world: World
) -> None:
    async with running.serving(world.action("a")):
        first = await running.start(DEFINITION, value=1)
        assert (await running.ended(DEFINITION, first)).status == "completed"
    await running.start(DEFINITION, value=2)
    (participant,) = (await asked(health, "degraded"))["participants"]
    assert (participant["waiting"], participant["asking"], participant["neglected"]) == (1, 0, True)
    # Until then it may be restarting.
    silent = utc_now() - datetime.fromisoformat(participant["last_delivery"])
    assert silent >= timedelta(seconds=running.bus.settings.ack_wait_s)


async def test_an_open_breaker_and_dead_letters_are_told(
    health: httpx2.AsyncClient, running: Running, world: World
) -> None:
    config = BreakerConfig(failure_threshold=1, reset_timeout_s=600.0)
    async with shared_breakers(running.bus, config, fails=counts_against) as breakers:
        with pytest.raises(Unavailable):
            async with breakers.get("operator.mpesa"):
                raise Unavailable("t.down", "down")
        async with running.serving(world.action("a")):
            subject = running.bus.subjects.fact("one", "_saga", "started", "poisoned")
            await running.bus.publisher.send(subject, b"no fact", {})
            await running.letters(1)
        async with asyncio.timeout(20):
            reasons: list[str] = []
            while len(reasons) < 2:
                found = await asked(health, "degraded")
                reasons = found["reasons"]
    assert reasons[0] == "breaker operator.mpesa is open"
    assert reasons[1].endswith("dead letters wait for a person")
    assert found["breakers"] == {"open": ["operator.mpesa"], "half_open": []}
    assert found["dead_letters"]["by_code"].keys() == {"fact.undecodable"}


async def test_without_a_bus_all_is_down_and_the_answer_still_comes(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        bus_server = await stack.enter_async_context(AsyncExitStack())
        embedded = EmbeddedServer(find_binary(os.environ), tmp_path / "nats", sync_interval="2m")
        await bus_server.enter_async_context(embedded)
        bus = await stack.enter_async_context(await Bus.connect(BusSettings(url=embedded.url)))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        log_url = f"sqlite+aiosqlite:///{tmp_path / 'log.db'}"
        parts = await stack.enter_async_context(open_parts(bus, definitions, log_url))
        base = await stack.enter_async_context(serve_api(create_app(parts)))
        health = await stack.enter_async_context(httpx2.AsyncClient(base_url=base, trust_env=False))
        await asked(health, "ok")
        await bus_server.aclose()
        found = await asked(health, "down")
    assert found["reasons"][0].startswith("the bus does not answer: ")
    assert (found["bus"]["answers"], found["log"]["lag"], found["participants"]) == (False, None, [])
