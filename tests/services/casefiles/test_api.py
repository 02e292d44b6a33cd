"""Casefiles, their grants and evidence, sessions and their history: over real HTTP and the steps' own database."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from contracts.casefiles import CreateCasefile, CreateSession, StoreEvidence
from contracts.evidence import Mail
from saga.api.app import routed
from saga.api.server import serve_api
from services.casefiles.api import open_api
from services.casefiles.steps.create_casefile import create_casefile
from services.casefiles.steps.create_session import create_session
from services.casefiles.steps.store_evidence import store_evidence
from tests.services.steps import Steps

CASEFILES, SESSIONS = "/api/v1/casefiles", "/api/v1/casefile-sessions"
NEW = {
    "title": "Aldermill v. Brook",
    "description": "freight",
    "grants": [{"user_id": "theo", "permission": "read"}],
}


class Asker:
    """Asks the API as one user."""

    def __init__(self, client: httpx2.AsyncClient, user_id: str) -> None:
        self._client = client
        self._user_id = user_id

    async def __call__(self, method: str, path: str, status: int = 200, **given: Any) -> dict[str, Any]:
        headers = {"Saga-User": self._user_id} | given.pop("headers", {})
        answer = await self._client.request(method, path, headers=headers, **given)
        assert answer.status_code == status, answer.text
        body: dict[str, Any] = answer.json()
        return body | {"etag": answer.headers.get("ETag"), "location": answer.headers.get("Location")}


@pytest.fixture
async def client(steps: Steps) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        open_api(steps.settings, steps.environment) as routers,
        serve_api(routed("casefiles", routers)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def marta(client: httpx2.AsyncClient) -> Asker:
    return Asker(client, "marta")


@pytest.fixture
def theo(client: httpx2.AsyncClient) -> Asker:
    return Asker(client, "theo")


@pytest.fixture
def stranger(client: httpx2.AsyncClient) -> Asker:
    return Asker(client, "stranger")


async def test_a_casefile_is_opened_read_changed_and_removed(marta: Asker) -> None:
    created = await marta("POST", CASEFILES, 201, json=NEW)
    place = created["location"]
    assert place == f"{CASEFILES}/{created['casefile_id']}"
    assert (created["owner"], created["revision"], created["saga_id"]) == ("marta", 1, None)
    assert NEW.items() <= (await marta("GET", place)).items()
    settings = {"title": "Aldermill", "description": ""}
    changed = await marta("PUT", place, json=settings, headers={"If-Match": created["etag"]})
    assert (changed["title"], changed["revision"], changed["grants"]) == ("Aldermill", 2, NEW["grants"])
    assert changed["updated_at"] > changed["created_at"]
    assert (await marta("DELETE", place))["title"] == "Aldermill"
    assert (await marta("GET", place, 404))["code"] == "not_found"


async def test_a_change_over_what_has_changed_is_refused(marta: Asker) -> None:
    created = await marta("POST", CASEFILES, 201, json=NEW)
    place, first = created["location"], {"If-Match": created["etag"]}
    await marta("PUT", place, json={"title": "one"}, headers=first)
    late = await marta("PUT", place, 412, json={"title": "other"}, headers=first)
    assert late["code"] == "precondition.failed"
    assert (await marta("PUT", place, 428, json={"title": "other"}))["code"] == "precondition.required"
    assert (await marta("PUT", place, json={"title": "other"}, headers={"If-Match": "*"}))["revision"] == 3


async def test_a_grant_says_what_somebody_may_do(marta: Asker, theo: Asker, stranger: Asker) -> None:
    place = (await marta("POST", CASEFILES, 201, json=NEW))["location"]
    anyhow = {"If-Match": "*"}
    assert (await stranger("GET", place, 404))["code"] == "not_found"
    assert (await stranger("GET", f"{place}/evidence", 404))["code"] == "not_found"
    await theo("GET", place)
    assert (await theo("PUT", place, 403, json={"title": "x"}, headers=anyhow))["code"] == "forbidden"
    await theo("PUT", f"{place}/grants/stranger", 403, json={"permission": "read"})

    assert (await marta("PUT", f"{place}/grants/theo", json={"permission": "write"}))["revision"] == 2
    await theo("PUT", place, json={"title": "x"}, headers=anyhow)
    await theo("DELETE", place, 403)
    await marta("PUT", f"{place}/grants/theo", json={"permission": "manage"})
    await theo("PUT", f"{place}/grants/stranger", json={"permission": "read"})
    await stranger("GET", place)
    assert (await marta("DELETE", f"{place}/grants/theo"))["grants"] == [
        {"user_id": "stranger", "permission": "read"}
    ]
    await theo("GET", place, 404)
    await marta("PUT", f"{place}/grants/marta", 409, json={"permission": "read"})


async def test_everybody_sees_a_list_of_what_he_may_read(marta: Asker, theo: Asker, stranger: Asker) -> None:
    for number in range(3):
        await marta("POST", CASEFILES, 201, json=NEW | {"title": f"case {number}"})
    await theo("POST", CASEFILES, 201, json={"title": "his own"})
    first = await theo("GET", CASEFILES, params={"limit": 3})
    rest = await theo("GET", CASEFILES, params={"limit": 3, "cursor": first["next_cursor"]})
    titles = [[one["title"] for one in page["items"]] for page in (first, rest)]
    assert (titles, rest["next_cursor"]) == ([["his own", "case 2", "case 1"], ["case 0"]], None)
    assert (await stranger("GET", CASEFILES))["items"] == []
    await marta("GET", CASEFILES, 422, params={"cursor": first["next_cursor"]})


async def test_who_asks_must_be_said(client: httpx2.AsyncClient) -> None:
    answer = await client.get(CASEFILES)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/Saga-User")


async def a_worked_on_casefile(steps: Steps) -> tuple[str, str]:
    """A casefile that a saga has opened, worked on in a session, and another has failed to; casefile and session."""
    created = await steps.done(create_casefile, CreateCasefile(title="x", user_id="marta"), "s1")
    wanted = CreateSession(casefile_id=created.casefile_id)
    session = await steps.done(create_session, wanted, "s1")
    mails = tuple(Mail(message_id=str(number), sender="ann@example.com") for number in range(3))
    await steps.done(store_evidence, StoreEvidence(mails=mails), "s1")
    await steps.done(create_session, wanted, "s2")
    assert await steps.refused(store_evidence, StoreEvidence(user_id="theo"), "s2") == "casefile.unknown"
    return created.casefile_id, session.session_id


async def test_evidence_is_read_in_pages_by_kind(steps: Steps, marta: Asker) -> None:
    casefile_id, _ = await a_worked_on_casefile(steps)
    place = f"{CASEFILES}/{casefile_id}/evidence"
    first = await marta("GET", place, params={"limit": 2, "kind": "mail"})
    rest = await marta("GET", place, params={"limit": 2, "kind": "mail", "cursor": first["next_cursor"]})
    assert [[one["source"] for one in page["items"]] for page in (first, rest)] == [["2", "1"], ["0"]]
    assert first["items"][0]["content"]["sender"] == "ann@example.com"
    assert (await marta("GET", place, params={"kind": "file"}))["items"] == []


async def test_the_history_of_a_session_shows_every_execution(
    steps: Steps, marta: Asker, theo: Asker
) -> None:
    _, session_id = await a_worked_on_casefile(steps)
    place = f"{SESSIONS}/{session_id}/executions"
    shown = (await marta("GET", place))["items"]
    assert [(one["saga_id"], one["step"], one["state"], one["code"]) for one in shown] == [
        ("s2", "store_evidence", "refused", "casefile.unknown"),
        ("s2", "create_session", "done", ""),
        ("s1", "store_evidence", "done", ""),
        ("s1", "create_session", "done", ""),
        ("s1", "create_casefile", "done", ""),
    ]
    assert {one["definition"] for one in shown} == {"payment-standard@1"}
    await steps.undo(store_evidence, StoreEvidence(), "s1")
    newest = await marta("GET", place, params={"limit": 1})
    assert (newest["items"][0]["step"], newest["items"][0]["state"]) == ("store_evidence", "undone")
    pages, cursor = [newest], newest["next_cursor"]
    while cursor:
        pages.append(await marta("GET", place, params={"limit": 1, "cursor": cursor}))
        cursor = pages[-1]["next_cursor"]
    assert [page["items"][0]["step"] for page in pages][1:] == [
        "store_evidence", "create_session", "create_session", "create_casefile"
    ]  # fmt: skip
    await theo("GET", place, 404)


async def test_what_was_undone_stays_in_the_history(steps: Steps, marta: Asker) -> None:
    _, session_id = await a_worked_on_casefile(steps)
    await steps.undo(create_session, CreateSession(), "s2")
    shown = (await marta("GET", f"{SESSIONS}/{session_id}/executions"))["items"]
    assert [(one["step"], one["state"]) for one in shown if one["saga_id"] == "s2"] == [
        ("create_session", "undone"), ("store_evidence", "refused")
    ]  # fmt: skip


async def test_a_session_is_found_or_opened_and_linked(marta: Asker, theo: Asker) -> None:
    casefile_id = (await marta("POST", CASEFILES, 201, json=NEW))["casefile_id"]
    opened = await theo("POST", SESSIONS, 201, json={"kind": "chat", "name": "lunch"})
    place = opened["location"]
    found = await theo("POST", SESSIONS, 200, json={"kind": "chat", "name": "lunch"})
    assert (found["session_id"], opened["casefile_id"]) == (opened["session_id"], None)
    linked = await theo("PUT", f"{place}/casefile", json={"casefile_id": casefile_id})
    assert linked["casefile_id"] == casefile_id == (await theo("GET", place))["casefile_id"]
    assert (await theo("PUT", f"{place}/casefile", json={"casefile_id": None}))["casefile_id"] is None
    await theo("PUT", f"{place}/casefile", 404, json={"casefile_id": "nowhere"})
    await marta("PUT", f"{place}/casefile", 404, json={"casefile_id": casefile_id})
    assert [one["name"] for one in (await theo("GET", SESSIONS))["items"]] == ["lunch"]
    assert (await marta("GET", SESSIONS))["items"] == []


async def test_a_session_that_a_person_has_opened_is_not_removed_by_an_undo(
    steps: Steps, marta: Asker
) -> None:
    casefile_id, session_id = await a_worked_on_casefile(steps)
    found = await marta("POST", SESSIONS, 200, json={"casefile_id": casefile_id})
    assert found["session_id"] == session_id
    for saga_id in ("s1", "s2"):
        await steps.undo(create_session, CreateSession(), saga_id)
    assert (await marta("GET", f"{SESSIONS}/{session_id}"))["session_id"] == session_id


async def test_a_session_outlives_its_casefile(marta: Asker) -> None:
    casefile_id = (await marta("POST", CASEFILES, 201, json=NEW))["casefile_id"]
    place = (await marta("POST", SESSIONS, 201, json={"casefile_id": casefile_id}))["location"]
    await marta("DELETE", f"{CASEFILES}/{casefile_id}")
    assert (await marta("GET", place))["casefile_id"] is None


async def test_what_is_said_in_a_chat_is_kept_in_order(marta: Asker, theo: Asker) -> None:
    place = (await marta("POST", SESSIONS, 201, json={"kind": "chat"}))["location"]
    for role, text in (("user", "Which invoices differ?"), ("assistant", "INV-1044"), ("user", "Thanks")):
        await marta("POST", f"{place}/messages", 201, json={"role": role, "text": text})
    first = await marta("GET", f"{place}/messages", params={"limit": 2})
    rest = await marta("GET", f"{place}/messages", params={"limit": 2, "cursor": first["next_cursor"]})
    assert [[one["text"] for one in page["items"]] for page in (first, rest)] == [
        ["Which invoices differ?", "INV-1044"], ["Thanks"]
    ]  # fmt: skip
    await theo("GET", f"{place}/messages", 404)
    tool = (await marta("POST", SESSIONS, 201, json={"kind": "tool"}))["location"]
    refused = await marta("POST", f"{tool}/messages", 409, json={"text": "hello"})
    assert "tool session" in refused["detail"]
