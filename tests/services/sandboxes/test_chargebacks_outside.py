"""The sandboxes of SAP, of the federal database and of a language model, over real HTTP."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.sandboxes.federal import Federal, Registered, serve_federal
from services.sandboxes.language_model import LanguageModel, serve_language_model
from services.sandboxes.sap import SapBooks, serve_sap

CUSTOMER = {"external_id": "AS4395631", "name": "St. Anne Regional Hospital", "address": ""}


@pytest.fixture
async def sap() -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serve_sap(SapBooks(existing=("BN1901227",))) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


async def post(sap: httpx2.AsyncClient, path: str, key: str, body: Any = None) -> httpx2.Response:
    return await sap.post(path, json=body, headers={"Idempotency-Key": key})


async def a_memo(sap: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    number = (await post(sap, "/customers", "c", CUSTOMER)).json()["number"]
    lines = [{"ndc": "00049490030", "amount": "275.88"}]
    said = {"customer": number, "reference": "DOC-1", "amount": "275.88", "currency": "USD", "lines": lines}
    return said | changes


async def test_a_memo_is_posted_once_reversed_once_and_never_again(sap: httpx2.AsyncClient) -> None:
    memo = await a_memo(sap)
    answers = await asyncio.gather(*(post(sap, "/credit-memos", "k", memo) for _ in range(5)))
    assert len({answer.json()["number"] for answer in answers}) == 1
    for _ in range(2):
        assert (await post(sap, "/credit-memos/reversals", "k")).json() == {"state": "reversed"}
    assert (await post(sap, "/credit-memos", "k", memo)).status_code == 422
    (line,) = (await sap.get("/ledger")).json()["memos"]
    assert (line["state"], line["amount"]) == ("reversed", "275.88")


async def test_a_reversal_that_comes_first_bars_the_memo(sap: httpx2.AsyncClient) -> None:
    memo = await a_memo(sap)
    assert (await post(sap, "/credit-memos/reversals", "k")).json() == {"state": "barred"}
    assert (await post(sap, "/credit-memos", "k", memo)).json()["code"] == "F5/201"


async def test_memos_that_make_no_sense_are_declined(sap: httpx2.AsyncClient) -> None:
    assert (await post(sap, "/credit-memos", "a", await a_memo(sap, customer="1"))).json()["code"] == "F5/102"
    assert (await post(sap, "/credit-memos", "b", await a_memo(sap, amount="1"))).json()["code"] == "F5/702"
    assert (await post(sap, "/credit-memos", "c", await a_memo(sap, amount="-1"))).status_code == 422
    assert (await sap.post("/credit-memos", json=await a_memo(sap))).status_code == 422


async def test_customers_are_created_once_and_those_known_before_stay(sap: httpx2.AsyncClient) -> None:
    first = (await post(sap, "/customers", "a", CUSTOMER)).json()
    again = (await post(sap, "/customers", "a", CUSTOMER)).json()
    assert (first["created"], again) == (True, first)
    known = CUSTOMER | {"external_id": "BN1901227"}
    assert (await post(sap, "/customers", "b", known)).json()["created"] is False
    for key in ("a", "b"):
        await post(sap, "/customers/withdrawals", key)
    customers = (await sap.get("/ledger")).json()["customers"]
    assert {name: one["flagged"] for name, one in customers.items()} == {
        "AS4395631": True,
        "BN1901227": False,
    }
    assert (await post(sap, "/customers", "a", CUSTOMER)).json()["code"] == "F2/118"


async def test_an_outage_can_be_set_and_taken_back(sap: httpx2.AsyncClient) -> None:
    await sap.put("/admin", json={"down": True})
    assert (await post(sap, "/customers", "a", CUSTOMER)).status_code == 503
    await sap.put("/admin", json={"blocked": ["AS4395631"]})
    assert (await post(sap, "/customers", "a", CUSTOMER)).json()["code"] == "F2/036"
    await sap.put("/admin", json={})
    assert (await post(sap, "/customers", "a", CUSTOMER)).status_code == 201


async def test_the_federal_database_answers_stumbles_and_goes_away() -> None:
    registered = {
        "A": Registered(name="Anne"),
        "S": Registered(name="S", stumbles=1),
        "D": Registered(name="D", down=True),
    }
    federal = Federal(registered, {"C": Registered(name="Clinic")})
    async with serve_federal(federal) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:

        async def status(path: str) -> int:
            return (await client.get(path)).status_code

        assert (await client.get("/registrations/A")).json() == {
            "number": "A", "name": "Anne", "state": "active", "since": "2020-01-01", "until": None,
        }  # fmt: skip
        assert [await status("/registrations/S") for _ in range(2)] == [503, 200]
        assert [await status("/registrations/D") for _ in range(2)] == [503, 503]
        assert (await status("/registrations/C"), await status("/covered-entities/C")) == (404, 200)
        await client.put("/admin", json={"down": True, "latency_ms": 0})
        assert await status("/registrations/A") == 503


async def test_a_model_takes_strict_questions_only() -> None:
    def question(schema: Any) -> dict[str, Any]:
        form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
        return {"model": "m", "messages": [{"role": "user", "content": "a memo"}], "response_format": form}

    strict = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    async with (
        serve_language_model(LanguageModel({"memo": {"a": 1}})) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        told = await client.post("/chat/completions", json=question(strict))
        assert told.json()["choices"][0]["message"]["content"] == '{"a": 1}'
        for loose in (
            strict | {"required": []},
            {"type": "array", "items": strict | {"additionalProperties": True}},
        ):
            assert (await client.post("/chat/completions", json=question(loose))).status_code == 400


@pytest.mark.parametrize("command", [["sap"], ["federal", "services/chargebacks/sample/federal.yaml"]])
async def test_they_run_as_commands_until_they_are_told_to_stop(command: list[str]) -> None:
    module, *files = command
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.sandboxes.{module}", *files, "--port", "0",
        cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.put("/admin", json={})).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
