"""What the claims answer over HTTP: phases from outside, accounts, the marketplace's word, live notifications."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import httpx2
from pypdf import PdfReader
from websockets.asyncio.client import connect

from contracts.phases import AccountConnected, ClaimRejected
from events.clock import utc_now
from saga.state import SagaStatus
from tests.services.claims.conftest import Run
from tests.services.claims.kit import ACCOUNT, OLD, SECRET, Claims, marketplace

PHASE, TRAIL = "/api/v1/workflow/phase", "/api/v1/workflow/transitions"
CLAIMS = "/api/v1/claims"
HOOK = f"{CLAIMS}/marketplace-webhook"
LIVE = f"{CLAIMS}/accounts/{ACCOUNT}"
CONNECTED = {"account_id": ACCOUNT}


async def recovered(claims: Claims) -> dict[str, Any]:
    """One claim from its beginning to its end."""
    await claims.connected()
    await claims.enter(AccountConnected(account_id=ACCOUNT))
    (claim,) = await claims.at_end("recovered")
    story: dict[str, Any] = (await claims.api.get(f"{CLAIMS}/{claim.claim_id}")).json()
    return story


async def test_a_phase_is_entered_by_a_request_once(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        first = await claims.api.post(f"{PHASE}/1", json=CONNECTED)
        again = await claims.api.post(f"{PHASE}/1", json=CONNECTED | {"run": "1"})
        assert (first.status_code, again.status_code) == (202, 202)
        told, repeated = first.json(), again.json()
        assert first.headers["Location"] == f"/api/v1/sagas/{told['saga_id']}"
        assert again.headers["Idempotency-Replayed"] == "true"
        assert repeated == told | {"created": False}
        assert (told["phase"], told["key"], told["waits_for"]) == (1, "1:S-1/1", None)
        await claims.at_end("recovered")
        assert (await claims.trail(claim_id="")) == [(1, "entered"), (2, "entered"), (3, "entered")]


async def test_the_same_key_with_another_content_is_a_conflict(run: Run) -> None:
    async with run(marketplace()) as claims:
        await claims.api.post(f"{PHASE}/2", json=CONNECTED | {"records": 1})
        other = await claims.api.post(f"{PHASE}/2", json=CONNECTED | {"records": 2})
        assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_a_phase_that_comes_too_early_says_what_it_waits_for(run: Run) -> None:
    async with run(marketplace()) as claims:
        await claims.connected()
        early = (await claims.api.post(f"{PHASE}/2", json=CONNECTED | {"records": 1})).json()
        assert early["waits_for"] == "1:S-1/1"
        await claims.api.post(f"{PHASE}/1", json=CONNECTED)
        assert (await claims.ended(early["saga_id"])).status == SagaStatus.COMPLETED


async def test_an_unknown_phase_is_not_found(run: Run) -> None:
    async with run(marketplace()) as claims:
        for number in (0, 8, 9, 15, -1):
            answer = await claims.api.post(f"{PHASE}/{number}", json=CONNECTED)
            assert (answer.status_code, answer.json()["code"]) == (404, "phase.unknown")
        assert (await claims.api.post(f"{PHASE}/x", json=CONNECTED)).status_code == 422


async def test_a_wrong_entry_says_where_and_enters_nothing(run: Run) -> None:
    async with run(marketplace()) as claims:
        wrong = {"account_id": "not an account", "claim_id": "C-1", "confidence": 101, "more": 1}
        answer = await claims.api.post(f"{PHASE}/4", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "saga.input_invalid")
        places = {error["pointer"] for error in answer.json()["errors"]}
        assert places == {"/account_id", "/claim_id", "/confidence", "/more"}
        assert (await claims.api.post(f"{PHASE}/4", json=[1])).status_code == 422
        assert await claims.trail() == []


async def test_older_steps_enter_the_phases_they_have_become(run: Run) -> None:
    async with run(marketplace()) as claims:
        shown = (await claims.api.get("/api/v1/workflow/phases")).json()["items"]
        assert {one["phase"]: one["older_steps"] for one in shown} == {
            1: [], 2: [], 3: [10], 4: [11], 5: [12], 6: [13], 7: [14],
        }  # fmt: skip
        body = CONNECTED | {"findings": 0}
        old = (await claims.api.post(f"{PHASE}/10", json=body)).json()
        new = (await claims.api.post(f"{PHASE}/3", json=body)).json()
        assert (old["phase"], new) == (3, old | {"created": False})


async def test_an_account_lets_us_in_by_oauth_and_its_token_is_on_no_bus(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        body = {"account_id": ACCOUNT, "base_url": str(claims.api.base_url)}
        asked = await claims.api.post(f"{CLAIMS}/accounts", json=body)
        assert asked.status_code == 201
        back = await claims.api.get(asked.json()["authorize_url"], follow_redirects=True)
        assert (back.status_code, back.json()["key"]) == (202, "1:S-1/1")
        await claims.at_end("recovered")
        (token,) = claims.market.tokens
        told = await _everything(claims)
        assert ACCOUNT in told
        assert token not in told
        again = await claims.api.get(back.url)
        assert (again.status_code, again.json()["code"]) == (404, "not_found")


async def test_a_code_that_the_marketplace_does_not_take_connects_nothing(run: Run) -> None:
    async with run(marketplace()) as claims:
        body = {"account_id": ACCOUNT, "base_url": str(claims.api.base_url)}
        url = httpx2.URL((await claims.api.post(f"{CLAIMS}/accounts", json=body)).json()["authorize_url"])
        query = {"state": url.params["state"], "code": "stolen"}
        assert (await claims.api.get(f"{CLAIMS}/oauth/callback", params=query)).status_code == 409
        query["state"] = "other"
        assert (await claims.api.get(f"{CLAIMS}/oauth/callback", params=query)).status_code == 404
        assert await claims.trail() == []


async def test_without_a_marketplace_everything_else_answers(run: Run) -> None:
    async with run(marketplace(), SAGA_MARKETPLACE_URL="") as claims:
        answer = await claims.api.post(
            f"{CLAIMS}/accounts", json={"account_id": ACCOUNT, "base_url": "http://me.example"}
        )
        assert (answer.status_code, "SAGA_MARKETPLACE_URL" in answer.json()["detail"]) == (503, True)
        assert (await claims.api.get(CLAIMS)).json() == {"items": [], "next_cursor": None}


def signed(body: bytes, *, secret: str = SECRET, late_s: int = 0) -> dict[str, str]:
    timestamp = str(int(utc_now().timestamp()) - late_s)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg-1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": "msg-1", "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }  # fmt: skip


def told(claim_id: str, case_id: str, status: str = "rejected", **more: Any) -> bytes:
    data = {"case_id": case_id, "claim_id": claim_id, "status": status, **more}
    return json.dumps({"type": f"case.{status}", "data": data}).encode()


async def test_only_what_the_marketplace_has_signed_is_heard(run: Run) -> None:
    async with run(marketplace()) as claims:
        body = told("C-0000000000000000", "K-1")
        forged = await claims.api.post(HOOK, content=body, headers=signed(body, secret="whsec_b3RoZXI="))
        stale = await claims.api.post(HOOK, content=body, headers=signed(body, late_s=301))
        changed = await claims.api.post(HOOK, content=body + b" ", headers=signed(body))
        assert [one.status_code for one in (forged, stale, changed)] == [401, 401, 401]
        unknown = await claims.api.post(HOOK, content=body, headers=signed(body))
        assert unknown.status_code == 404
        nonsense = await claims.api.post(HOOK, content=b"{}", headers=signed(b"{}"))
        assert nonsense.status_code == 422


async def test_a_rejection_by_webhook_enters_phase_six_once(run: Run) -> None:
    async with run(marketplace((1, "pays")), SAGA_CLAIMS_POLL_S="3600") as claims:
        claims.market.cases.think_s = 3600
        await claims.connected()
        await claims.enter(AccountConnected(account_id=ACCOUNT))
        (claim,) = await claims.at_end("submitted")
        body = told(claim.claim_id, claim.case_id, reason="This item is not eligible under our policy.")
        first, again = [await claims.api.post(HOOK, content=body, headers=signed(body)) for _ in range(2)]
        assert (first.status_code, first.json()["entered"]["key"]) == (202, f"6:{claim.claim_id}:1")
        assert again.json()["entered"]["created"] is False
        otherwise = told(claim.claim_id, claim.case_id, reason="Something else.")
        contradicts = await claims.api.post(HOOK, content=otherwise, headers=signed(otherwise))
        assert contradicts.json() == {"entered": None}
        entry = ClaimRejected(
            account_id=ACCOUNT, claim_id=claim.claim_id, submission=1, case_id=claim.case_id,
            reason="This item is not eligible under our policy.",
        )  # fmt: skip
        await claims.entered(entry)
        foreign = told(claim.claim_id, "K-99999")
        assert (await claims.api.post(HOOK, content=foreign, headers=signed(foreign))).status_code == 409


async def test_a_claim_tells_its_whole_story(run: Run) -> None:
    async with run(marketplace((2, "wants_more"))) as claims:
        story = await recovered(claims)
        assert (story["status"], story["submission"], story["records"]) == ("recovered", 2, ["A-1"])
        for evidence in story["evidence"]:
            assert evidence["score"] == sum(part["points"] for part in evidence["parts"])
            assert all(part["why"] for part in evidence["parts"])
        seen = [(one["case_id"], one["status"]) for one in story["cases"]]
        assert {("K-00001", "rejected"), ("K-00002", "paid")} <= set(seen)
        (payout,) = story["payouts"]
        assert payout["paid"] == payout["claimed"] == {"amount": "34.00", "currency": "USD"}
        assert (payout["fee"]["amount"], payout["seller_share"]["amount"]) == ("6.80", "27.20")


async def test_the_packet_is_the_pdf_whose_hash_was_stated(run: Run) -> None:
    async with run(marketplace((1, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(AccountConnected(account_id=ACCOUNT))
        (claim,) = await claims.at_end("asked")
        path = f"{CLAIMS}/{claim.claim_id}"
        assert (await claims.api.get(f"{path}/packet")).status_code == 404
        await claims.api.post(f"{path}/answer", json={"answer": "submit", "by": "ann"})
        await claims.at_end("recovered")
        packet = await claims.api.get(f"{path}/packet")
        assert packet.headers["Content-Type"] == "application/pdf"
        digest = hashlib.sha256(packet.content).hexdigest()
        assert (await claims.api.get(path)).json()["packet_sha256"] == digest
        assert packet.headers["ETag"] == f'"{digest}"'
        assert claim.claim_id in "".join(
            page.extract_text() for page in PdfReader(BytesIO(packet.content)).pages
        )


async def test_the_first_answer_counts(run: Run) -> None:
    async with run(marketplace((1, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(AccountConnected(account_id=ACCOUNT))
        (claim,) = await claims.at_end("asked")
        path = f"{CLAIMS}/{claim.claim_id}/answer"
        decline = {"answer": "decline", "by": "ann"}
        assert (await claims.api.post(path, json=decline | {"answer": "perhaps"})).status_code == 422
        assert (await claims.api.post(path, json=decline)).status_code == 202
        other = await claims.api.post(path, json=decline | {"answer": "submit"})
        assert other.status_code == 409
        await claims.at_end("declined")
        unknown = await claims.api.post(f"{CLAIMS}/C-0000000000000000/answer", json=decline)
        assert unknown.status_code == 404


async def test_claims_and_the_audit_trail_come_in_pages(run: Run) -> None:
    async with run(marketplace((1, "pays"), (2, "pays"), (3, "pays"), invoices=0)) as claims:
        await claims.connected()
        await claims.enter(AccountConnected(account_id=ACCOUNT))
        await claims.at_end("parked", "parked", "parked")
        for path, key in ((CLAIMS, "claim_id"), (TRAIL, "number")):
            whole = (await claims.api.get(path)).json()["items"]
            first = (await claims.api.get(path, params={"limit": 2})).json()
            query = {"limit": 200, "cursor": first["next_cursor"]}
            rest = (await claims.api.get(path, params=query)).json()
            assert [one[key] for one in first["items"] + rest["items"]] == [one[key] for one in whole]
            assert rest["next_cursor"] is None
            other = await claims.api.get(path, params=query | {"account_id": "S-2"})
            assert other.status_code == 422
        chosen = (await claims.api.get(CLAIMS, params={"status": "parked", "kind": "lost_inventory"})).json()
        assert len(chosen["items"]) == 3
        assert (await claims.api.get(CLAIMS, params={"status": "paid"})).json()["items"] == []
        about = {"claim_id": chosen["items"][0]["claim_id"], "phase": 4, "outcome": "entered"}
        assert len((await claims.api.get(TRAIL, params=about)).json()["items"]) == 1


async def test_notifications_come_live_and_go_on_where_they_were_left(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        async with events(claims) as live:
            await claims.connected()
            await claims.enter(AccountConnected(account_id=ACCOUNT))
            heard = [await anext(live)]
            while heard[-1]["kind"] != "packet_ready":
                heard.append(await anext(live))
        kinds = [one["kind"] for one in heard]
        assert kinds[:3] == ["phase_entered"] * 3
        assert {"claim_submitted", "case_status", "payout_received"} < set(kinds)
        ids = [one["id"] for one in heard]
        assert ids == sorted(set(ids))
        async with events(claims, seen=ids[-3]) as resumed:
            assert [await anext(resumed), await anext(resumed)] == heard[-2:]
        async with events(claims, after=0) as all_kept:
            assert [await anext(all_kept) for _ in heard] == heard


async def test_nobody_hears_what_another_account_is_told(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        async with events(claims, account_id="S-2", after=0) as foreign:
            await recovered(claims)
            await claims.connected("S-2")
            await claims.enter(AccountConnected(account_id="S-2"))
            first = await anext(foreign)
            assert (first["account_id"], first["phase"]) == ("S-2", 1)


async def test_a_websocket_tells_the_same(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        url = f"{claims.api.base_url}".replace("http", "ws", 1).rstrip("/") + f"{LIVE}/live"
        async with connect(f"{url}?after=0", proxy=None) as socket:
            await claims.connected()
            await claims.enter(AccountConnected(account_id=ACCOUNT))
            heard: list[dict[str, Any]] = []
            while not heard or heard[-1]["kind"] != "packet_ready":
                async with asyncio.timeout(20):
                    heard.append(json.loads(await socket.recv()))
        async with events(claims, after=0) as live:
            assert [await anext(live) for _ in heard] == heard
        async with connect(f"{url}?after={heard[-2]['id']}", proxy=None) as again:
            assert json.loads(await again.recv()) == heard[-1]


@asynccontextmanager
async def events(
    claims: Claims, account_id: str = ACCOUNT, after: int | None = None, seen: int | None = None
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The notifications of an account by SSE; the stream is open when the block begins."""
    path = f"{CLAIMS}/accounts/{account_id}/notifications"
    query = {} if after is None else {"after": after}
    headers = {} if seen is None else {"Last-Event-ID": str(seen)}
    async with claims.api.stream("GET", path, params=query, headers=headers, timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert await anext(lines) == ": open"
        yield _told(lines)


async def _told(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    told_id = ""
    async for line in lines:
        if line.startswith("id: "):
            told_id = line.removeprefix("id: ")
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            assert str(event["id"]) == told_id
            yield event


async def _everything(claims: Claims) -> str:
    """All that is on the bus: facts and events."""
    found = []
    for stream in (claims.bus.names.facts(0), claims.bus.names.events):
        info = await claims.bus.jetstream.stream_info(stream)
        for sequence in range(info.state.first_seq, info.state.last_seq + 1):
            message = await claims.bus.jetstream.get_msg(stream, seq=sequence)
            found.append((message.data or b"").decode())
    return "\n".join(found)
