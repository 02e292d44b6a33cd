"""Dead letters over real HTTP: listed, shown, redriven, dropped; every error is a problem."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.definition import SagaDefinition, Step
from events.deadletters import CODE_UNDECODABLE, Wanted, list_dead_letters
from events.deadletters_codec import DeadLetter
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from tests.world import Running, World

ONE = SagaDefinition(name="one", steps=(Step(name="a", action="test.a", input={"value": "${input.value}"}),))
ADA = {"by": "ada", "reason": "the format is repaired"}
LETTERS = "/api/v1/dead-letters"


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    await running.publish(ONE)
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with (
        open_parts(running.bus, running.definitions, url) as parts,
        serve_api(create_app(parts)) as base,
        httpx2.AsyncClient(base_url=base, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def poisoned(running: Running, world: World) -> AsyncIterator[list[int]]:
    """Three poison messages, buried by the participant of `a`, which goes on."""
    async with running.serving(world.action("a")):
        found: list[DeadLetter] = []
        for number in range(3):
            subject = running.bus.subjects.fact("one", "_saga", "started", f"s{number}")
            await running.bus.publisher.send(subject, b"\xffpoison", {"Nats-Msg-Id": f"p{number}"})
            # One by one, so that their letters have the order of the sagas.
            async with asyncio.timeout(20):
                while len(found) == number:
                    found = await list_dead_letters(running.bus, Wanted(consumer="test-a"), limit=9)
        yield [letter.sequence for letter in found]


async def get(api: httpx2.AsyncClient, path: str = "", **query: Any) -> dict[str, Any]:
    answer = await api.get(LETTERS + path, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_letters_are_listed_in_pages_and_by_filter(
    api: httpx2.AsyncClient, poisoned: list[int]
) -> None:
    first = await get(api, consumer="test-a", limit=2)
    rest = await get(api, consumer="test-a", limit=2, cursor=first["next_cursor"])
    assert [one["sequence"] for one in first["items"] + rest["items"]] == poisoned
    assert rest["next_cursor"] is None
    assert (await get(api, code="fact.exhausted"))["items"] == []
    (third,) = (await get(api, consumer="test-a", saga_id="s2", state="open"))["items"]
    assert (third["code"], third["size"], third["ruling"]) == (CODE_UNDECODABLE, 7, None)


async def test_a_letter_is_shown_with_its_message_byte_for_byte(
    api: httpx2.AsyncClient, poisoned: list[int]
) -> None:
    letter = await get(api, f"/{poisoned[0]}")
    assert (b64decode(letter["payload_base64"]), letter["payload"]) == (b"\xffpoison", None)
    assert letter["headers"] == {"Nats-Msg-Id": "p0"}
    assert (letter["saga_id"], letter["stream_sequence"], letter["history"]) == ("s0", 1, [])


async def test_redriving_twice_is_once_and_says_by_whom(api: httpx2.AsyncClient, poisoned: list[int]) -> None:
    path = f"{LETTERS}/{poisoned[0]}/redrive"
    answers = [await api.post(path, json=ADA), await api.post(path, json=ADA | {"by": "bob"})]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert [answer.json()["changed"] for answer in answers] == [True, False]
    assert answers[1].json()["ruling"]["by"] == "ada"
    conflict = await api.delete(f"{LETTERS}/{poisoned[0]}", params=ADA)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")
    async with asyncio.timeout(20):
        while not (again := (await get(api, consumer="test-a", saga_id="s0", state="open"))["items"]):
            await asyncio.sleep(0.02)
    shown = await get(api, f"/{again[0]['sequence']}")
    assert [earlier["sequence"] for earlier in shown["history"]] == [poisoned[0]]


async def test_dropping_keeps_who_and_why(api: httpx2.AsyncClient, poisoned: list[int]) -> None:
    dropped = await api.delete(f"{LETTERS}/{poisoned[1]}", params=ADA)
    assert (dropped.status_code, dropped.json()["changed"]) == (200, True)
    (found,) = (await get(api, state="dropped"))["items"]
    assert (found["sequence"], found["ruling"]["by"], found["ruling"]["reason"]) == (
        poisoned[1], "ada", "the format is repaired",
    )  # fmt: skip
    refused = await api.post(f"{LETTERS}/{poisoned[1]}/redrive", json=ADA)
    assert refused.status_code == 409


async def test_many_are_decided_about_by_filter(api: httpx2.AsyncClient, poisoned: list[int]) -> None:
    body = ADA | {"consumer": "test-a", "code": [CODE_UNDECODABLE]}
    dry = (await api.post(f"{LETTERS}/drop", json=body | {"dry_run": True, "limit": 2})).json()
    assert (dry["matched"], dry["done"], dry["dry_run"]) == (poisoned[:2], [], True)
    done = (await api.post(f"{LETTERS}/drop", json=body | {"cursor": dry["next_cursor"]})).json()
    assert (done["done"], done["refused"]) == (poisoned[2:], [])
    redriven = (await api.post(f"{LETTERS}/redrive", json=body)).json()
    assert redriven["done"] == poisoned[:2]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/999", None, 404, "not_found"),
        ("POST", "/999/redrive", ADA, 404, "not_found"),
        ("DELETE", "/999?by=ada&reason=r", None, 404, "not_found"),
        ("GET", "/0", None, 422, "request.invalid"),
        ("GET", f"/{10**30}", None, 422, "request.invalid"),
        ("GET", "/first", None, 422, "request.invalid"),
        ("GET", "?state=lost", None, 422, "request.invalid"),
        ("GET", "?limit=201", None, 422, "request.invalid"),
        ("GET", "?unknown=1", None, 422, "request.invalid"),
        ("GET", "?since=yesterday", None, 422, "request.invalid"),
        ("GET", "?since=2026-01-01T00:00:00", None, 422, "request.invalid"),
        ("GET", "?consumer=a.>", None, 422, "request.invalid"),
        ("GET", "?cursor=7", None, 422, "contract.invalid"),
        ("POST", "/1/redrive", {"by": "ada"}, 422, "request.invalid"),
        ("POST", "/1/redrive", {"by": "", "reason": "r"}, 422, "request.invalid"),
        ("POST", "/redrive", ADA | {"limit": 1001}, 422, "request.invalid"),
        ("DELETE", "/1", None, 422, "request.invalid"),
        ("PUT", "/1", None, 405, "http.405"),
    ],
)
async def test_every_error_is_a_problem(
    api: httpx2.AsyncClient, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = await api.request(method, LETTERS + path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_metrics_tell_how_many_are_open(api: httpx2.AsyncClient, poisoned: list[int]) -> None:
    async def opened() -> list[str]:
        text = (await api.get("/metrics")).text
        return [line for line in text.splitlines() if line.startswith("saga_dead_letters_open{")]

    async with asyncio.timeout(20):
        # The log could not apply them either.
        while await opened() != [f'saga_dead_letters_open{{code="{CODE_UNDECODABLE}"}} 6.0']:
            await asyncio.sleep(0.02)
    for sequence in poisoned:
        await api.delete(f"{LETTERS}/{sequence}", params=ADA)
    assert await opened() == [f'saga_dead_letters_open{{code="{CODE_UNDECODABLE}"}} 3.0']
    body = ADA | {"consumer": "saga-log"}
    assert (await api.post(f"{LETTERS}/drop", json=body)).status_code == 200
    assert await opened() == []


async def test_words_of_blanks_are_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.post(f"{LETTERS}/1/redrive", json={"by": " ", "reason": "r"})
    assert (answer.status_code, answer.json()["code"]) == (422, "contract.invalid")
