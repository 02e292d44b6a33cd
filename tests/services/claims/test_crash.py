"""Everything dies by SIGKILL, more than once, in the middle of its work: nothing is lost, nothing happens twice."""

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from contracts.claims import UNDER_WAY
from events.bus import Bus
from events.read import follow
from saga.service import ServiceSettings
from services.claims.books import compare, read_ledger
from services.claims.demo import ACCOUNT, connect
from services.sandboxes.marketplace import Marketplace, serve_marketplace
from tests.services.claims.kit import SECRET, marketplace

_FACTS_UNTIL_DEATH = (30, 80)
_PATIENCE_S = 90


@asynccontextmanager
async def system(environment: dict[str, str], port: int, data: Path) -> AsyncIterator[Any]:
    """`saga up claims` as a process of its own, once it answers; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "saga.cli.main", "up", "claims", "--port", str(port), "--data", str(data),
        env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while "API" not in (line := (await process.stderr.readline()).decode()):
                assert line, "it ended at its start"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def facts(bus: Bus, after: int, count: int) -> int:
    """Wait for so many facts; the sequence of the last one."""
    found = stored = 0
    stream = follow(bus, 0, after, pause_s=0.005)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for batch in stream:
                found, stored = found + len(batch), batch[-1].sequence
                if found >= count:
                    break
    finally:
        await stream.aclose()
    return stored


async def all_ended(bus: Bus, client: httpx2.AsyncClient, after: int) -> list[dict[str, Any]]:
    """The claims, once none is under way."""
    stream = follow(bus, 0, after, pause_s=0.05)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for _ in stream:
                claims = (await client.get("/api/v1/claims")).json()["items"]
                if claims and not any(claim["status"] in UNDER_WAY for claim in claims):
                    return list(claims)
    finally:
        await stream.aclose()
    raise AssertionError("unreachable")


def effects(market: Marketplace) -> Counter[tuple[str, str]]:
    """How often each claim was submitted first, and once more."""
    return Counter((one.claim_id, one.earlier or "") for one in market.cases.requests.values())


async def test_money_is_right_after_every_crash(bus: Bus, tmp_path: Path) -> None:
    moods = [(1, "pays"), (2, "wants_more"), (3, "pays"), (1, "policy"), (2, "short"), (1, "out_of_window")]
    market = marketplace(*moods, lose_every=3)  # type: ignore[arg-type]
    port = free_port()
    async with serve_marketplace(market):
        market.cases.webhooks.url = f"http://127.0.0.1:{port}/api/v1/claims/marketplace-webhook"
        environment = os.environ | {
            "NATS_URL": bus.settings.url, "SAGA_BUS_NAMESPACE": bus.settings.namespace, "SAGA_BUS_ACK_WAIT_S": "2",
            "SAGA_MARKETPLACE_URL": market.url, "SAGA_SECRET_MARKETPLACE": SECRET, "SAGA_CLAIMS_POLL_S": "0.5",
        }  # fmt: skip
        url, last = f"http://127.0.0.1:{port}", 0
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            for number, count in enumerate(_FACTS_UNTIL_DEATH):
                async with system(environment, port, tmp_path):
                    if number == 0:
                        await connect(client, url)
                    last = await facts(bus, last, count)
            async with system(environment, port, tmp_path):
                claims = await all_ended(bus, client, 0)
        statement = [
            {"case_id": case.case_id, "claim_id": case.claim_id, **case.payout.model_dump(mode="json")}
            for case in market.cases.all()
            if case.payout
        ]
    assert Counter(claim["status"] for claim in claims) == {"recovered": 5, "rejected": 1}
    books = compare(await read_ledger(ServiceSettings(data=tmp_path), statement))
    assert books.differences == ()
    assert set(effects(market).values()) == {1}
    assert all(claim["account_id"] == ACCOUNT for claim in claims)
