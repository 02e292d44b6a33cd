"""What the chargebacks answer over HTTP: the queue, page by page, decisions, and the trail as an export."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from contracts.chargebacks import ResolveChargeback
from contracts.ids import new_saga_id
from saga.api.app import routed
from saga.api.server import serve_api
from services.chargebacks.api import open_api
from services.chargebacks.queue import Place, Queue
from services.chargebacks.reviewing import decided, heard
from services.chargebacks.steps.chargeback_resolution import chargeback_resolution
from services.chargebacks.steps.compliance_trail import compliance_trail
from services.chargebacks.steps.review import review
from services.chargebacks.trail import main
from tests.services.chargebacks.test_reviewing import APPROVE, DOUBT, to_review
from tests.services.chargebacks.test_trail import to_record
from tests.services.steps import Steps

BASE = "/api/v1/chargebacks"


@pytest.fixture
async def http(steps: Steps) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        open_api(steps.settings, steps.environment) as routers,
        serve_api(routed("chargebacks", routers)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


async def a_queue(steps: Steps) -> Queue:
    return Queue(await steps.database(review))


async def test_the_queue_shows_what_is_asked_and_where_to_answer(
    steps: Steps, http: httpx2.AsyncClient
) -> None:
    command, place = to_review(DOUBT), Place(new_saga_id(), "review_checks")
    await (await a_queue(steps)).open(place, command, heard(command), steps.now())
    (case,) = (await http.get(f"{BASE}/reviews")).json()["items"]
    assert (case["reference"], case["state"], case["metadata"]) == ("DOC-1", "open", {"a": "1"})
    assert [finding["code"] for finding in case["findings"]] == ["contract.price"]
    assert case["claim"]["claim_number"] == "DM-204137"
    assert case["signal"] == f"/api/v1/sagas/{place.saga_id}/steps/review_checks/signal"
    assert (await http.get(f"{BASE}/reviews/{place.saga_id}/review_checks")).json() == case


async def test_a_case_is_closed_once_and_leaves_the_open_ones(steps: Steps, http: httpx2.AsyncClient) -> None:
    queue, command, place = await a_queue(steps), to_review(DOUBT), Place(new_saga_id(), "review_checks")
    await queue.open(place, command, heard(command), steps.now())
    await queue.complain(place, "no decision")
    assert (await http.get(f"{BASE}/reviews/{place.saga_id}/review_checks")).json()[
        "problem"
    ] == "no decision"
    await queue.close(place, decided(command, heard(command), APPROVE), steps.now())
    await queue.withdraw(Place(new_saga_id(), "review_checks"), command, steps.now())
    states = {}
    for state in ("open", "closed", "withdrawn"):
        items = (await http.get(f"{BASE}/reviews", params={"state": state})).json()["items"]
        states[state] = [(item["answer"] or {}).get("reviewer") for item in items]
    assert states == {"open": [], "closed": ["ada"], "withdrawn": [None]}


async def test_pages_hold_every_case_once_also_those_of_one_moment(
    steps: Steps, http: httpx2.AsyncClient
) -> None:
    queue, command, at = await a_queue(steps), to_review(DOUBT), steps.now()
    sagas = [new_saga_id() for _ in range(5)]
    for number, saga_id in enumerate(sagas):
        for step in ("review_checks", "review_extraction"):
            await queue.open(Place(saga_id, step), command, (), at + timedelta(seconds=number // 3))
    seen: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await http.get(f"{BASE}/reviews", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [(item["saga_id"], item["step"]) for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [(saga, step) for saga in sorted(sagas) for step in ("review_checks", "review_extraction")]


async def test_the_trail_is_exported_and_checked(
    steps: Steps, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    sagas = [new_saga_id() for _ in range(230)]
    for saga_id in sagas:
        await steps.done(compliance_trail, to_record(), saga_id)
    export = await http.get(f"{BASE}/trail")
    assert export.headers["content-type"].startswith("application/jsonl")
    (tmp_path / "trail.jsonl").write_text(export.text)
    assert main([str(tmp_path / "trail.jsonl")]) == 0
    assert [json.loads(line)["saga_id"] for line in export.text.splitlines()] == sagas
    assert len((await http.get(f"{BASE}/trail", params={"after": 228})).text.splitlines()) == 2
    (document,) = (await http.get(f"{BASE}/trail/{sagas[7]}")).json()
    assert document == json.loads(export.text.splitlines()[7])


async def test_a_decision_can_be_looked_up(steps: Steps, http: httpx2.AsyncClient) -> None:
    saga_id = new_saga_id()
    command = ResolveChargeback(
        reference="DOC-1",
        claim=None,
        payable=False,
        eligible=None,
        lines=None,
        customer_number=None,
        findings=(),
    )
    await steps.done(chargeback_resolution, command, saga_id)
    shown = (await http.get(f"{BASE}/resolutions/{saga_id}")).json()
    assert (shown["outcome"], shown["state"], shown["credited"]) == (
        "denied", "stands", {"amount": "0", "currency": "USD"}
    )  # fmt: skip


@pytest.mark.parametrize(("path", "status"), [
    ("reviews/x/y", 404), ("trail/x", 404), ("resolutions/x", 404), ("reviews?cursor=x", 422), ("reviews?state=x", 422),
    ("reviews?limit=0", 422), ("trail?after=-1", 422),
])  # fmt: skip
async def test_what_is_not_there_or_makes_no_sense_is_a_problem(
    http: httpx2.AsyncClient, path: str, status: int
) -> None:
    answer = await http.get(f"{BASE}/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
