"""The worked example: every qualified lead gets its best quote, though a carrier is down; invalid ones get none."""

import os
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from saga.cli.system import running
from services.leads.demo import DOMAINS, DOWN, outside, play, sample, store_of, summary
from services.sandboxes.carriers import Carrier, Store, create_store, serve_carriers

REQUEST = {
    "reference": "L-1",
    "zip": "80010",
    "vehicle": {"year": 2020, "value": 20000},
    "young": True,
    "band": "x",
}


async def test_every_valid_lead_gets_its_best_quote(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with (
        outside() as world,
        running(DOMAINS, tmp_path, environment=environment | dict(world.environment)) as system,
    ):
        played = await play(system, world)
    figures = summary(played)
    store: Store = world.world
    valid = [lead["lead"]["id"] for lead in sample() if lead["expect"] == "completed"]
    assert (figures["started"], figures["completed"], figures["failed"], figures["stuck"]) == (60, 55, 5, 0)
    assert played.surprises == ()
    assert sorted(played.best) == sorted(valid)
    assert set(store.heard.values()) == {1}
    quotes = [quote for carrier in store.carriers for quote in carrier.quotes.values()]
    given = {lead: min(quote["price"] for quote in quotes if quote["reference"] == lead) for lead in valid}
    assert {lead: best["price"] for lead, best in played.best.items()} == given
    assert figures["quotes"] == sum(len(carrier.quotes) for carrier in store.carriers)
    down = next(carrier for carrier in store.carriers if carrier.id == DOWN)
    assert figures["breaker_opened"] >= 1
    assert down.quotes == {}
    assert down.asked < len(valid)


@pytest.fixture
def carrier() -> Carrier:
    return Carrier("test", Decimal("0.03"), ceiling=Decimal(30_000))


async def test_a_carrier_quotes_once_per_key_and_not_above_its_ceiling(carrier: Carrier) -> None:
    async with (
        serve_carriers(Store({}, "whsec_eA==", [carrier])),
        httpx2.AsyncClient(base_url=carrier.url) as client,
    ):
        first = await client.post("/quotes", json=REQUEST, headers={"Idempotency-Key": "a"})
        again = await client.post("/quotes", json=REQUEST, headers={"Idempotency-Key": "a"})
        assert (first.status_code, again.json(), len(carrier.quotes)) == (201, first.json(), 1)
        dear = REQUEST | {"vehicle": {"year": 2020, "value": 30001}}
        refused = await client.post("/quotes", json=dear, headers={"Idempotency-Key": "b"})
        assert refused.status_code == 422
        carrier.down = True
        down = await client.post("/quotes", json=REQUEST, headers={"Idempotency-Key": "c"})
        assert down.status_code == 503


async def test_the_store_takes_only_what_is_signed() -> None:
    store = store_of(sample()[:1])
    transport = httpx2.ASGITransport(app=create_store(store))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://store") as client:
        answer = await client.post("/hooks", json={"data": {}}, headers=headers)
        assert (answer.status_code, store.told) == (401, {})
        assert (await client.get("/leads/L-999")).status_code == 404
