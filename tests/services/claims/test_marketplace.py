"""The marketplace sandbox, over real HTTP: it keeps its promises, so that the services can be held to theirs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request

from saga.api.server import serve_api
from saga.signatures import InvalidSignature, check_signature
from services.sandboxes.marketplace import Marketplace, serve_marketplace
from tests.services.claims.kit import SECRET, a_case, marketplace

TOKEN = {"Authorization": "Bearer token-1"}


@pytest.fixture
async def market() -> AsyncIterator[Marketplace]:
    served = marketplace((1, "pays"), (2, "wants_more"))
    served.tokens.add("token-1")
    async with serve_marketplace(served):
        yield served


@pytest.fixture
async def http(market: Marketplace) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=market.url, headers=TOKEN, trust_env=False) as client:
        yield client


async def submitted(http: httpx2.AsyncClient, key: str, **fields: Any) -> httpx2.Response:
    case = a_case(**fields).model_dump(mode="json")
    return await http.post("/v1/cases", json=case, headers={"Idempotency-Key": key})


async def decided(market: Marketplace, case_id: str) -> str:
    async with asyncio.timeout(10):
        while not market.cases.get(case_id).decided:
            await asyncio.gather(*market.cases._deciding)
    return market.cases.get(case_id).status


async def test_a_code_of_the_seller_counts_once(http: httpx2.AsyncClient, market: Marketplace) -> None:
    query = {"state": "s", "redirect_uri": "http://app.example/back"}
    back = await http.get("/oauth/authorize", params=query)
    target = httpx2.URL(back.headers["Location"])
    assert (back.status_code, target.host, target.params["state"]) == (302, "app.example", "s")
    first = await http.post("/oauth/token", json={"code": target.params["code"]})
    again = await http.post("/oauth/token", json={"code": target.params["code"]})
    assert (first.status_code, again.status_code) == (200, 400)
    assert first.json()["access_token"] in market.tokens


async def test_records_come_in_pages_and_only_with_a_token(http: httpx2.AsyncClient) -> None:
    first = (await http.get("/v1/records/orders", params={"limit": 1})).json()
    rest = (await http.get("/v1/records/orders", params={"limit": 1, "after": first["next"]})).json()
    assert [page["items"][0]["order_id"] for page in (first, rest)] == ["O-0", "O-1"]
    assert rest["next"] is None
    assert (await http.get("/v1/records/secrets")).status_code == 404
    stranger = await http.get("/v1/records/orders", headers={"Authorization": "Bearer none"})
    assert stranger.status_code == 401


async def test_a_claim_is_a_case_once_per_key_and_has_one_open_case(
    http: httpx2.AsyncClient, market: Marketplace
) -> None:
    first, again, other = [await submitted(http, key) for key in ("a", "a", "b")]
    assert (first.status_code, again.json()["case_id"]) == (201, first.json()["case_id"])
    assert other.status_code == 409
    assert len(market.cases.all()) == 1


async def test_a_case_is_decided_by_what_is_owed(http: httpx2.AsyncClient, market: Marketplace) -> None:
    cases = {
        "paid": a_case(),
        "nothing is owed": a_case(records=["A-9"]),
        "no document": a_case(documents=[]),
        "forged document": a_case(
            documents=[{"invoice_id": "I-1", "sha256": "f" * 64, "quantity": 1, "score": 90}]
        ),
        "wants more": a_case(records=["A-2"]),
    }
    ends = {}
    for number, (name, case) in enumerate(cases.items()):
        told = await submitted(http, name, **case.model_dump(mode="json") | {"claim_id": f"C-{number}"})
        ends[name] = await decided(market, told.json()["case_id"])
    assert ends == dict.fromkeys(cases, "rejected") | {"paid": "paid"}
    statement = (await http.get("/v1/statement")).json()
    assert [(line["claim_id"], line["amount"]["amount"]) for line in statement] == [("C-0", "17.00")]


async def test_a_withdrawal_takes_back_what_is_open_and_bars_what_has_not_come(
    http: httpx2.AsyncClient, market: Marketplace
) -> None:
    market.cases.think_s = 0.2
    case_id = (await submitted(http, "a")).json()["case_id"]
    assert (await http.post("/v1/withdrawals", headers={"Idempotency-Key": "a"})).json()[
        "status"
    ] == "withdrawn"
    assert await decided(market, case_id) == "withdrawn"
    assert (await http.post("/v1/withdrawals", headers={"Idempotency-Key": "b"})).json()["status"] == "barred"
    assert (await submitted(http, "b")).status_code == 422
    assert (await http.get("/v1/statement")).json() == []


async def test_what_was_paid_stays_paid(http: httpx2.AsyncClient, market: Marketplace) -> None:
    case_id = (await submitted(http, "a")).json()["case_id"]
    await decided(market, case_id)
    assert (await http.post("/v1/withdrawals", headers={"Idempotency-Key": "a"})).json()["status"] == "paid"


async def test_every_change_is_told_signed_and_some_get_lost(
    http: httpx2.AsyncClient, market: Marketplace
) -> None:
    heard: list[str] = []
    app = FastAPI()

    @app.post("/hook")
    async def hook(request: Request) -> None:
        body, headers = await request.body(), request.headers
        signed = (headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        check_signature(*signed, headers["webhook-signature"], [SECRET])
        with pytest.raises(InvalidSignature):
            check_signature(*signed, headers["webhook-signature"], ["whsec_b3RoZXI="])
        heard.append((await request.json())["type"])

    async with serve_api(app) as url:
        market.cases.webhooks.url, market.cases.webhooks.lose_every = f"{url}/hook", 2
        await decided(market, (await submitted(http, "a")).json()["case_id"])
        await asyncio.gather(*market.cases._deciding)
    assert heard == ["case.under_review", "case.paid"]
    assert (market.cases.webhooks.told, market.cases.webhooks.lost) == (3, 1)


async def test_an_outage_is_one_for_the_seller(http: httpx2.AsyncClient, market: Marketplace) -> None:
    market.down = True
    assert (await http.get("/v1/records/orders")).status_code == 503
