"""Triggers over real HTTP: kept, switched, fired; and webhooks that come in, signed, once."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.facts import STARTED_KEY
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.signatures import signatures
from saga.workflows.catalogue import Words
from tests.saga.workflows.documents import workflow
from tests.world import Running

TRIGGERS = "/api/v1/triggers"
ADA = {"by": "ada", "reason": "because"}
SECRET, OLDER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_b2xkZXItc2VjcmV0IQ=="
MANUAL = {"name": "by-hand", "kind": "MANUAL", "workflow": "orders"}
HOOK = {
    "name": "from-crm",
    "kind": "WEBHOOK",
    "workflow": "orders",
    "secrets": ["crm", "crm-older"],
    "input": {"value": "${event.data.data.value}"},
}


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """An API with the secrets of a sender, and the workflow `orders`."""
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    secrets = {"SAGA_SECRET_CRM": SECRET, "SAGA_SECRET_CRM_OLDER": OLDER}
    async with (
        open_parts(running.bus, running.definitions, url, secrets) as parts,
        serve_api(create_app(parts)) as base,
        httpx2.AsyncClient(base_url=base, trust_env=False) as client,
    ):
        await parts.catalogue.create(workflow(), Words("ada", "because"), activate=True)
        yield client


async def created(api: httpx2.AsyncClient, trigger: dict[str, Any]) -> httpx2.Response:
    answer = await api.post(TRIGGERS, json=trigger, params=ADA)
    assert answer.status_code == 201, answer.text
    return answer


async def history(api: httpx2.AsyncClient, name: str, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get(f"{TRIGGERS}/{name}/firings", params=query)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


class Sender:
    """Whoever sends webhooks to `from-crm`."""

    def __init__(self, api: httpx2.AsyncClient) -> None:
        self._api = api
        self.body = json.dumps({"type": "order.placed", "data": {"value": 7}}, indent=1).encode()

    async def send(
        self,
        id: str = "msg_1",
        *,
        secret: str = SECRET,
        late_s: int = 0,
        body: bytes | None = None,
        told_id: str | None = None,
        to: str = "from-crm",
    ) -> httpx2.Response:
        at_s = int(time.time()) - late_s
        headers = {
            "webhook-id": told_id or id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signatures(id, at_s, self.body, [secret]),
        }
        content = self.body if body is None else body
        return await self._api.post(f"/api/v1/hooks/{to}", content=content, headers=headers)


@pytest.fixture
async def sender(api: httpx2.AsyncClient) -> Sender:
    await created(api, HOOK)
    return Sender(api)


async def test_a_trigger_is_created_shown_changed_and_deleted_over_what_was_read(
    api: httpx2.AsyncClient,
) -> None:
    first = await created(api, MANUAL)
    assert first.headers["Location"] == f"{TRIGGERS}/by-hand"
    assert (first.json()["generation"], first.json()["by"]) == (1, "ada")
    path, read = f"{TRIGGERS}/by-hand", {"If-Match": first.headers["ETag"]}
    assert (await api.put(path, json=MANUAL)).status_code == 428
    second = await api.put(path, json={**MANUAL, "description": "for ada"}, headers=read)
    assert (second.status_code, second.json()["trigger"]["description"]) == (200, "for ada")
    late = await api.put(path, json=MANUAL, headers=read)
    assert (late.status_code, late.json()["code"]) == (412, "precondition.failed")
    assert (await api.get(path)).headers["ETag"] == second.headers["ETag"]
    assert (await api.delete(path, headers=read)).status_code == 412
    gone = await api.delete(path, headers={"If-Match": second.headers["ETag"]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.get(path)).status_code == 404
    assert (await api.post(f"{path}/fire", json={"by": "ada"})).status_code == 404


async def test_a_trigger_with_mistakes_is_refused_with_all_of_them(api: httpx2.AsyncClient) -> None:
    wrong = {"name": "x", "kind": "SCHEDULE", "workflow": "orders", "cron": 5, "tolerance_s": 3}
    answer = await api.post(TRIGGERS, json=wrong)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/cron", "/tolerance_s"}
    for kind in ({"kind": "SOMETIMES"}, {}):
        answer = await api.post(TRIGGERS, json={"name": "x", "workflow": "orders", **kind})
        assert (answer.status_code, answer.json()["code"]) == (422, "trigger.invalid")
    answer = await api.put(f"{TRIGGERS}/other", json=MANUAL, headers={"If-Match": "*"})
    assert answer.json()["errors"] == [{"pointer": "/name", "detail": "expected other, the name in the path"}]
    assert (await api.post(TRIGGERS, json={**MANUAL, "workflow": "none"})).status_code == 422
    assert (await api.get(TRIGGERS)).json()["items"] == []


async def test_triggers_are_listed_by_kind_workflow_and_page(api: httpx2.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await created(api, {**MANUAL, "name": name, "enabled": name != "b"})
    await created(api, {**MANUAL, "name": "nightly", "kind": "SCHEDULE", "cron": "0 3 * * *"})

    async def names(**query: Any) -> list[str]:
        items = (await api.get(TRIGGERS, params=query)).json()["items"]
        return [item["trigger"]["name"] for item in items]

    assert await names() == ["a", "b", "c", "nightly"]
    assert await names(kind="SCHEDULE", workflow="orders") == ["nightly"]
    assert await names(enabled=False) == ["b"]
    first = (await api.get(TRIGGERS, params={"limit": 3})).json()
    assert [item["trigger"]["name"] for item in first["items"]] == ["a", "b", "c"]
    assert await names(limit=3, cursor=first["next_cursor"]) == ["nightly"]
    assert (await api.get(TRIGGERS, params={"kind": "SOMETIMES"})).status_code == 422
    assert (await api.get(f"{TRIGGERS}/nightly")).json()["next_time"].endswith("03:00:00Z")


async def test_firing_by_hand_starts_once_for_an_event_id_and_is_told(api: httpx2.AsyncClient) -> None:
    await created(api, MANUAL)
    fire = {"by": "ada", "data": {"value": 3}, "event_id": "e-1"}
    first = await api.post(f"{TRIGGERS}/by-hand/fire", json=fire)
    again = await api.post(f"{TRIGGERS}/by-hand/fire", json=fire)
    assert (first.status_code, first.json()["outcome"]) == (202, "started")
    assert (again.json()["outcome"], again.json()["saga_id"]) == ("repeated", first.json()["saga_id"])
    told = await history(api, "by-hand")
    assert [(one["outcome"], one["by"], one["event_id"]) for one in told] == [
        ("repeated", "ada", "e-1"),
        ("started", "ada", "e-1"),
    ]
    assert [one["outcome"] for one in await history(api, "by-hand", outcome="started")] == ["started"]
    first_page = (await api.get(f"{TRIGGERS}/by-hand/firings", params={"limit": 1})).json()
    (left,) = await history(api, "by-hand", limit=1, cursor=first_page["next_cursor"])
    assert left["outcome"] == "started"


async def test_a_refused_firing_is_a_problem_and_in_the_history(api: httpx2.AsyncClient) -> None:
    await created(api, MANUAL)
    answer = await api.post(f"{TRIGGERS}/by-hand/fire", json={"by": "ada", "data": 5})
    assert answer.status_code == 422
    (told,) = await history(api, "by-hand")
    assert (told["outcome"], told["reason"]) == ("refused", answer.json()["detail"])


async def test_a_trigger_that_is_off_does_not_fire(api: httpx2.AsyncClient, sender: Sender) -> None:
    off = await api.post(f"{TRIGGERS}/from-crm/disable", json=ADA)
    assert (off.status_code, off.json()["trigger"]["enabled"]) == (200, False)
    assert (await sender.send()).status_code == 409
    assert (await api.post(f"{TRIGGERS}/from-crm/fire", json={"by": "ada"})).status_code == 409
    on = await api.post(f"{TRIGGERS}/from-crm/enable", json=ADA)
    assert on.json()["trigger"]["enabled"]
    assert (await sender.send()).status_code == 202


async def test_a_signed_webhook_starts_the_workflow_and_its_raw_body_is_kept(
    api: httpx2.AsyncClient, sender: Sender, running: Running
) -> None:
    answer = await sender.send()
    assert (answer.status_code, answer.json()["outcome"]) == (202, "started"), answer.text
    facts = await running.facts(answer.json()["saga_id"])
    (started,) = [one.fact for one in facts if one.fact.key == STARTED_KEY]
    assert started.data["input"] == {"value": 7}
    (told,) = await history(api, "from-crm")
    assert base64.b64decode(told["body"]) == sender.body
    assert told["event_id"] == "msg_1"


async def test_a_webhook_that_comes_again_starts_nothing(api: httpx2.AsyncClient, sender: Sender) -> None:
    first, again = await sender.send(), await sender.send(secret=OLDER)
    assert again.status_code == 202
    assert again.json() == {**first.json(), "outcome": "repeated"}
    assert (await sender.send("msg_2")).json()["saga_id"] != first.json()["saga_id"]


@pytest.mark.parametrize("late_s", [400, -400])
async def test_a_webhook_of_another_time_is_refused(
    api: httpx2.AsyncClient, sender: Sender, late_s: int
) -> None:
    answer = await sender.send(late_s=late_s)
    assert (answer.status_code, answer.json()["code"]) == (401, "webhook.signature_invalid")
    assert await history(api, "from-crm") == []


async def test_a_webhook_that_is_not_signed_by_the_secret_is_refused(
    api: httpx2.AsyncClient, sender: Sender
) -> None:
    assert (await sender.send(secret="whsec_c29tZXRoaW5nLWVsc2U=")).status_code == 401
    assert (await sender.send(body=sender.body + b" ")).status_code == 401
    assert (await sender.send(told_id="msg_other")).status_code == 401
    unsigned = await api.post("/api/v1/hooks/from-crm", content=sender.body)
    assert unsigned.status_code == 422
    assert {error["pointer"] for error in unsigned.json()["errors"]} == {
        "/header/webhook-id", "/header/webhook-timestamp", "/header/webhook-signature",
    }  # fmt: skip
    assert await history(api, "from-crm") == []


async def test_a_webhook_for_no_such_trigger_or_without_a_known_secret_is_told(
    api: httpx2.AsyncClient, sender: Sender
) -> None:
    assert (await sender.send(to="nothing")).status_code == 404
    await created(api, MANUAL)
    assert (await sender.send(to="by-hand")).status_code == 404
    await created(api, {**HOOK, "name": "from-erp", "secrets": ["unknown"]})
    answer = await sender.send(to="from-erp")
    assert (answer.status_code, answer.json()["code"]) == (503, "unusable")
    assert "unknown" in answer.json()["detail"]
    assert SECRET not in answer.text
