"""Breakers over real HTTP: listed, shown, configured, reset, deleted; every error is a problem."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.breakers import BreakerConfig
from saga.action import Unavailable
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.breaker import Breaker, shared_breakers
from saga.execution import counts_against
from tests.world import Running

BREAKERS = "/api/v1/breakers"
ADA = {"by": "ada", "reason": "the operator called"}
WANTED = {
    "failure_threshold": 3, "reset_timeout_s": 60.0, "half_open_max_calls": 2, "success_threshold": 2,
    "probe_lease_s": 9.0,
}  # fmt: skip


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with (
        open_parts(running.bus, running.definitions, url) as parts,
        serve_api(create_app(parts)) as base,
        httpx2.AsyncClient(base_url=base, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def opened(api: httpx2.AsyncClient, running: Running) -> AsyncIterator[Breaker]:
    """A breaker of a participant beside the API, opened by failures."""
    config = BreakerConfig(failure_threshold=2, reset_timeout_s=600.0)
    async with shared_breakers(running.bus, config, fails=counts_against) as breakers:
        breaker = breakers.get("operator.mpesa")
        for _ in range(2):
            with pytest.raises(Unavailable):
                async with breaker:
                    raise Unavailable("t.down", "down")
        yield breaker


async def shown(api: httpx2.AsyncClient, state: str, transitions: int) -> dict[str, Any]:
    """The breaker as soon as the API's process and the log know this of it."""
    async with asyncio.timeout(20):
        while True:
            answer = await api.get(f"{BREAKERS}/operator.mpesa")
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                if found["state"] == state and len(found["transitions"]) == transitions:
                    return found
            await asyncio.sleep(0.02)


async def test_a_breaker_is_listed_and_shown_with_its_transitions(
    api: httpx2.AsyncClient, opened: Breaker
) -> None:
    found = await shown(api, "open", 1)
    assert (found["failures"], found["configured"], found["generation"]) == (2, False, 1)
    (move,) = found["transitions"]
    assert (move["kind"], move["previous"], move["revision"]) == ("open", "closed", 1)
    (listed,) = (await api.get(BREAKERS)).json()["items"]
    assert (listed["name"], listed["state"]) == ("operator.mpesa", "open")
    metrics = (await api.get("/metrics")).text
    assert 'saga_breaker_state{breaker="operator.mpesa"} 2.0' in metrics


async def test_settings_are_replaced_and_reach_the_participant(
    api: httpx2.AsyncClient, opened: Breaker
) -> None:
    await shown(api, "open", 1)
    answer = await api.put(f"{BREAKERS}/operator.mpesa/config", json={"config": WANTED, **ADA})
    assert (answer.status_code, answer.json()["config"]) == (200, WANTED)
    async with asyncio.timeout(10):
        while opened.config != BreakerConfig.model_validate(WANTED):
            await asyncio.sleep(0.01)
    found = await shown(api, "open", 2)
    assert (found["configured"], found["transitions"][0]["config"]) == (True, WANTED)


async def test_a_reset_closes_it_and_then_it_can_be_deleted(api: httpx2.AsyncClient, opened: Breaker) -> None:
    await shown(api, "open", 1)
    refused = await api.delete(f"{BREAKERS}/operator.mpesa", params=ADA)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    answer = await api.post(f"{BREAKERS}/operator.mpesa/reset", json=ADA)
    assert (answer.status_code, answer.json()["state"]) == (200, "closed")
    found = await shown(api, "closed", 2)
    assert {name: found["transitions"][0][name] for name in ADA} == ADA
    assert (await api.delete(f"{BREAKERS}/operator.mpesa", params=ADA)).status_code == 200
    assert (await api.get(f"{BREAKERS}/operator.mpesa")).status_code == 404
    assert (await api.get(BREAKERS)).json() == {"items": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "pointer"),
    [
        ("GET", "/nobody", None, 404, ""),
        ("GET", "/a..b", None, 422, ""),
        ("POST", "/nobody/reset", ADA, 404, ""),
        ("POST", "/nobody/reset", {"by": "ada"}, 422, "/body/reason"),
        ("POST", "/nobody/reset", {**ADA, "more": 1}, 422, "/body/more"),
        ("PUT", "/nobody/config", {"config": WANTED, **ADA}, 404, ""),
        ("PUT", "/nobody/config", {"config": {"failure_threshold": 0}, **ADA}, 422, "failure_threshold"),
        ("PUT", "/nobody/config", {"config": {"failure_threshold": "3"}, **ADA}, 422, "failure_threshold"),
        ("PUT", "/nobody/config", {"config": {"reset_timeout_s": -1}, **ADA}, 422, "reset_timeout_s"),
        ("PUT", "/nobody/config", {"config": {"threshold": 1}, **ADA}, 422, "threshold"),
        ("DELETE", "/nobody", None, 422, "/query/by"),
        ("DELETE", "/nobody?by=ada&reason=r", None, 404, ""),
    ],
)
async def test_a_wrong_request_is_a_problem(
    api: httpx2.AsyncClient, method: str, path: str, body: Any, status: int, pointer: str
) -> None:
    answer = await api.request(method, BREAKERS + path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not pointer or any(pointer in one["pointer"] for one in answer.json()["errors"])


async def test_the_name_that_workflows_know_leads_to_the_same_breakers(
    api: httpx2.AsyncClient, opened: Breaker
) -> None:
    await shown(api, "open", 1)
    path = "/api/v1/circuit-breakers"
    (listed,) = (await api.get(path)).json()["items"]
    assert (listed["name"], listed["state"]) == ("operator.mpesa", "open")
    assert (await api.put(f"{path}/operator.mpesa/config", json={"config": WANTED, **ADA})).status_code == 200
    assert (await api.post(f"{path}/operator.mpesa/reset", json=ADA)).json()["state"] == "closed"
    assert (await api.get(f"{path}/operator.mpesa")).json()["config"] == WANTED
    assert (await api.delete(f"{path}/operator.mpesa", params=ADA)).status_code == 200
    assert (await api.get(BREAKERS)).json() == {"items": []}
