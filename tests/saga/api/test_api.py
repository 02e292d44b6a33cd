"""The API over real HTTP, a real bus and a real log."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from events import timers
from saga.action import ActionContext
from saga.api.app import open_parts
from saga.api.parts import Parts
from tests.world import Number, Running, World

DEFINITION = SagaDefinition(
    name="simple",
    steps=(
        Step(name="a", action="test.a", input={"value": "${input.value}"}),
        Step(name="b", action="test.b", after=("a",), input={"value": "${steps.a.value}"}),
    ),
)


@pytest.fixture(autouse=True)
async def published(running: Running) -> None:
    await running.publish(DEFINITION)


async def ended(api: httpx2.AsyncClient, saga_id: str) -> dict[str, Any]:
    sequence = 0
    async with asyncio.timeout(20):
        while True:
            query = {"after_sequence": sequence, "wait_s": 5}
            answer = await api.get(f"/api/v1/sagas/{saga_id}", params=query)
            saga: dict[str, Any] = answer.json()
            if saga["status"] in ("completed", "compensated", "failed"):
                return saga
            sequence = saga["sequence"]


async def start(api: httpx2.AsyncClient, **headers: str) -> httpx2.Response:
    return await api.post(
        "/api/v1/sagas", json={"definition": "simple", "input": {"value": 1}}, headers=headers
    )


async def test_a_saga_is_started_followed_and_told(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    async with running.serving(world.action("a"), world.action("b")):
        started = await start(api)
        assert started.status_code == 202
        saga_id = started.json()["saga_id"]
        assert started.headers["Location"] == f"/api/v1/sagas/{saga_id}"
        saga = await ended(api, saga_id)
    assert [(step["name"], step["status"], step["output"]) for step in saga["steps"]] == [
        ("a", "completed", {"value": 2}),
        ("b", "completed", {"value": 3}),
    ]
    facts = (await api.get(f"/api/v1/sagas/{saga_id}/facts")).json()["items"]
    assert facts[0]["fact"]["type"] == "saga.started"
    told = (await api.get(f"/api/v1/sagas/{saga_id}/timeline")).json()["items"]
    assert told[0]["text"] == "the saga started"
    page = (await api.get("/api/v1/sagas", params={"status": "completed"})).json()
    assert saga_id in [item["saga_id"] for item in page["items"]]


async def test_the_log_states_the_outcome_it_has_recorded(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World
) -> None:
    async with running.serving(world.action("a"), world.action("b")):
        saga_id = (await start(api)).json()["saga_id"]
        await ended(api, saga_id)
    await running.stated(saga_id, ("_saga", FactKind.COMPLETED))
    await parts.log.caught_up()
    assert (await parts.queries.get(saga_id)).saga["outcome_stated"]


async def test_sagas_finish_without_the_log_and_the_log_tells_them_later(
    running: Running, world: World, data: Path
) -> None:
    await running.publish(DEFINITION)
    async with running.serving(world.action("a"), world.action("b")):
        sagas = [await running.start(DEFINITION, value=number) for number in range(30)]
        for saga_id in sagas:
            assert (await running.ended(DEFINITION, saga_id)).status == "completed"
    url = f"sqlite+aiosqlite:///{data / 'late.db'}"
    async with open_parts(running.bus, running.definitions, url) as parts:
        await parts.log.caught_up()
        for saga_id in sagas:
            view = await parts.queries.get(saga_id)
            assert view.saga["status"] == "completed"
            assert len(await parts.queries.facts(saga_id)) >= 5


async def test_a_key_starts_once_and_says_so(api: httpx2.AsyncClient) -> None:
    first = await start(api, **{"Idempotency-Key": "k1"})
    again = await start(api, **{"Idempotency-Key": "k1"})
    assert first.json()["saga_id"] == again.json()["saga_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await api.post(
        "/api/v1/sagas",
        json={"definition": "simple", "input": {"value": 2}},
        headers={"Idempotency-Key": "k1"},
    )
    assert other.status_code == 409


async def test_cancelling_turns_a_saga_round(api: httpx2.AsyncClient, running: Running, world: World) -> None:
    saga_id = (await start(api)).json()["saga_id"]
    answer = await api.post(f"/api/v1/sagas/{saga_id}/cancel", json={"reason": "typo", "by": "ann"})
    assert answer.status_code == 202
    saga = await ended(api, saga_id)
    assert (saga["status"], saga["abort"]["reason"], saga["abort"]["by"]) == ("compensated", "typo", "ann")


async def test_a_saga_is_paused_skipped_on_and_resumed(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    who = {"reason": "the bank has called", "by": "ada"}
    saga_id = (await start(api)).json()["saga_id"]
    path = f"/api/v1/sagas/{saga_id}"
    assert (await api.post(f"{path}/resume", json=who)).status_code == 409
    assert (await api.post(f"{path}/pause", json=who)).status_code == 202
    async with running.serving(world.action("a"), world.action("b")):
        await running.until(DEFINITION, saga_id, lambda state: state.steps["a"].status == "held")
        assert (await api.post(f"{path}/steps/a/retry", json=who)).status_code == 409
        assert (await api.post(f"{path}/steps/nobody/skip", json=who)).status_code == 404
        signal = {"by": "ada", "payload": {"approved": True}}
        assert (await api.post(f"{path}/steps/b/signal", json=signal)).status_code == 202
        skipped = await api.post(f"{path}/steps/b/skip", json=who)
        assert (skipped.status_code, skipped.headers["Location"]) == (202, path)
        assert (await api.post(f"{path}/resume", json=who)).status_code == 202
        saga = await ended(api, saga_id)
    assert [step["status"] for step in saga["steps"]] == ["completed", "skipped"]
    told = [item["text"] for item in (await api.get(f"{path}/timeline")).json()["items"]]
    assert "ada paused the saga: the bank has called" in told
    assert "ada wants b to be skipped: the bank has called" in told


async def sleeps_long(ctx: ActionContext, command: Number) -> Number:
    await ctx.sleep(3600)
    return command


async def test_a_saga_that_ended_leaves_no_timer_behind(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World
) -> None:
    limited = DEFINITION.model_copy(update={"name": "limited", "deadline_s": 3600})
    await running.publish(limited)
    world.behaviours["b"] = sleeps_long
    async with running.serving(world.action("a"), world.action("b")):
        waits = await running.start(DEFINITION, value=1)
        in_time = await running.start(limited, value=1)
        for saga_id, definition in ((waits, DEFINITION), (in_time, limited)):
            await running.until(definition, saga_id, lambda state: state.steps["b"].status == "suspended")
            await running.client.skip(saga_id, "b", by="ada", reason="too long")
            assert (await running.ended(definition, saga_id)).status == "completed"
        async with asyncio.timeout(20):
            while await timers.armed(running.bus):
                await parts.log.caught_up()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/sagas/unknown", None, 404, "not_found"),
        ("GET", "/nowhere", None, 404, "http.404"),
        ("PUT", "/api/v1/sagas", None, 405, "http.405"),
        ("POST", "/api/v1/sagas", {"input": {}}, 422, "request.invalid"),
        ("POST", "/api/v1/sagas", {"definition": "simple", "surprise": 1}, 422, "request.invalid"),
        (
            "POST",
            "/api/v1/sagas",
            {"definition": "simple", "labels": {"a": "x" * 513}},
            422,
            "request.invalid",
        ),
        ("POST", "/api/v1/sagas", {"definition": "simple", "labels": {"a\x00": ""}}, 422, "request.invalid"),
        ("POST", "/api/v1/sagas", {"definition": "unknown", "input": {}}, 404, "not_found"),
        ("POST", "/api/v1/sagas/unknown/cancel", {"reason": "x", "by": "y"}, 404, "not_found"),
        ("POST", "/api/v1/sagas/unknown/pause", {"by": "y"}, 422, "request.invalid"),
        ("POST", "/api/v1/sagas/unknown/steps/a/skip", {"reason": "x", "by": "y"}, 404, "not_found"),
        ("GET", "/api/v1/sagas?colour=red", None, 422, "request.invalid"),
        ("GET", "/api/v1/sagas?cursor=nonsense", None, 422, "contract.invalid"),
        ("GET", "/api/v1/sagas?limit=0", None, 422, "request.invalid"),
        ("GET", "/api/v1/definitions/unknown", None, 404, "not_found"),
        ("POST", "/api/v1/definitions", {"name": "x", "steps": []}, 422, "request.invalid"),
    ],
)
async def test_every_error_is_a_problem(
    api: httpx2.AsyncClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = await api.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_wrong_fields_have_pointers(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/api/v1/sagas", json={"definition": 7, "input": []})
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/body/definition", "/body/input"}


async def test_malformed_json_and_oversize_bodies_are_refused(api: httpx2.AsyncClient) -> None:
    malformed = await api.post(
        "/api/v1/sagas", content=b"{ nope", headers={"content-type": "application/json"}
    )
    assert malformed.status_code == 422
    oversize = await api.post("/api/v1/sagas", json={"definition": "simple", "input": {"x": "y" * 300_000}})
    assert (oversize.status_code, oversize.json()["code"]) == (413, "request.too_large")


async def test_a_wrong_method_names_the_right_ones(api: httpx2.AsyncClient) -> None:
    assert (await api.put("/api/v1/sagas")).headers["Allow"] == "GET, POST"


async def test_an_unchanged_saga_is_not_sent_again(api: httpx2.AsyncClient, parts: Parts) -> None:
    saga_id = (await start(api)).json()["saga_id"]
    await parts.log.caught_up()
    first = await api.get(f"/api/v1/sagas/{saga_id}")
    again = await api.get(f"/api/v1/sagas/{saga_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, first.headers["Saga-Log-Sequence"]) == (
        304,
        str(first.json()["as_of_sequence"]),
    )


async def test_definitions_are_published_and_immutable(api: httpx2.AsyncClient) -> None:
    body = DEFINITION.model_copy(update={"name": "fresh"}).model_dump(mode="json")
    published = await api.post("/api/v1/definitions", json=body)
    assert published.status_code == 201
    assert (await api.get("/api/v1/definitions/fresh/1")).headers["ETag"] == published.headers["ETag"]
    changed = await api.post("/api/v1/definitions", json={**body, "description": "another"})
    assert changed.status_code == 409
    assert "fresh" in [item["name"] for item in (await api.get("/api/v1/definitions")).json()["items"]]


async def test_all_that_is_wrong_with_a_definition_is_said_with_its_place(api: httpx2.AsyncClient) -> None:
    circle = [
        {"name": "a", "action": "test.a", "after": ["a"]},
        {"name": "b", "action": "test.a", "after": ["c"]},
    ]
    answer = await api.post("/api/v1/definitions", json={"name": "wrong", "steps": circle})
    told = [error["pointer"] for error in answer.json()["errors"]]
    assert told == ["/body/steps/1/after", "/body/steps"]
    steps = [{"name": "a", "action": "test.a", "when": "1 >"}]
    schema = {"type": "nothing"}
    answer = await api.post(
        "/api/v1/definitions", json={"name": "wrong", "steps": steps, "input_schema": schema}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "definition.invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/steps/0/when", "/input_schema"]


async def test_an_input_is_held_against_the_schema_of_its_definition(api: httpx2.AsyncClient) -> None:
    schema = {
        "type": "object",
        "properties": {"zip": {"type": "string", "format": "email"}},
        "required": ["n"],
    }
    body = DEFINITION.model_dump(mode="json") | {"name": "by_schema", "input_schema": schema}
    body["steps"] = [{"name": "a", "action": "test.a"}]
    assert (await api.post("/api/v1/definitions", json=body)).status_code == 201
    answer = await api.post("/api/v1/sagas", json={"definition": "by_schema", "input": {"zip": "x"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "saga.input_invalid")
    assert sorted(error["pointer"] for error in answer.json()["errors"]) == ["", "/zip"]
    good = {"definition": "by_schema", "input": {"n": 1}}
    assert (await api.post("/api/v1/sagas", json=good)).status_code == 202


async def test_probes_and_metrics_answer(api: httpx2.AsyncClient, parts: Parts) -> None:
    assert (await api.get("/livez")).json() == {"alive": True}
    assert (await api.get("/readyz")).json()["checks"] == {"bus": "ok", "log": "ok"}
    assert "saga_log_facts_total" in (await api.get("/metrics")).text


async def test_directives_go_with_a_start_and_unknown_ones_are_refused(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    async with running.serving(world.action("a"), world.action("b")):
        body = {"definition": "simple", "input": {"value": 1}, "directives": {"dry_run": True, "user": "u_1"}}
        started = await api.post("/api/v1/sagas", json=body)
        saga = await ended(api, started.json()["saga_id"])
        assert saga["steps"][0]["failure"]["code"] == "step.no_rehearsal"
    assert world.done == []
    refused = await api.post("/api/v1/sagas", json={**body, "directives": {"dryrun": True}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/body/directives/dryrun"
