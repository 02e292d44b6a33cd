"""Workflows run over real HTTP: started, listed, looked at, told; on a real bus and a real log."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from contracts.catalogue import WorkflowStatus
from contracts.children import LABELS
from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from events import timers
from saga.action import ActionContext, Refused
from saga.api.parts import Parts
from saga.client import StartOptions
from saga.workflows import changes
from saga.workflows.catalogue import Words
from saga.workflows.checking import read_workflow
from tests.saga.workflows.documents import document, workflow
from tests.world import Number, Running, World

ADA = {"by": "ada", "reason": "a test"}
WORDS = Words(by="ada")
EXECUTIONS = "/api/v1/executions"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "COMPENSATED")


@pytest.fixture
async def orders(parts: Parts) -> None:
    """An active workflow `orders` of two versions, the first for new executions."""
    schema = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
    await parts.catalogue.create(workflow(input_schema=schema), WORDS, activate=True)
    await parts.catalogue.update(workflow(source="2"), None, WORDS)


@pytest.fixture
async def served(running: Running, world: World) -> AsyncIterator[World]:
    async with running.serving(world.action("work")):
        yield world


async def execute(api: httpx2.AsyncClient, value: Any = 1, **body: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    told = {"input": {"value": value}, **body}
    return await api.post("/api/v1/workflows/orders/execute", json=told, headers=headers)


async def started(api: httpx2.AsyncClient, **body: Any) -> str:
    answer = await execute(api, **body)
    assert answer.status_code == 202, answer.text
    execution_id: str = answer.json()["execution_id"]
    return execution_id


async def ended(api: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    sequence = 0
    async with asyncio.timeout(20):
        while True:
            query = {"after_sequence": sequence, "wait_s": 5}
            answer = await api.get(f"{EXECUTIONS}/{execution_id}", params=query)
            execution: dict[str, Any] = answer.json()
            if execution["status"] in ENDED:
                return execution
            sequence = execution["sequence"]


async def listed(api: httpx2.AsyncClient, **query: Any) -> list[str]:
    answer = await api.get(EXECUTIONS, params=query)
    assert answer.status_code == 200, answer.text
    return [item["execution_id"] for item in answer.json()["items"]]


async def refuses(ctx: ActionContext, command: Number) -> Number:
    raise Refused("t.no", "no")


async def waits(ctx: ActionContext, command: Number) -> Number:
    return Number.model_validate(await ctx.signal())


async def test_a_workflow_is_executed_and_followed_to_its_end(
    api: httpx2.AsyncClient, orders: None, served: World
) -> None:
    answer = await execute(api, 5, labels={"region": "eu"}, correlation_id="c1")
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{EXECUTIONS}/{body['execution_id']}"
    assert (body["workflow"], body["version"], body["status"], body["created"]) == (
        "orders", "1", "PENDING", True,
    )  # fmt: skip
    execution = await ended(api, body["execution_id"])
    assert (execution["status"], execution["state"], execution["input"]) == (
        "COMPLETED", "completed", {"value": 5},
    )  # fmt: skip
    assert [(step["name"], step["output"]) for step in execution["steps"]] == [("work", {"value": 6})]
    assert (execution["labels"], execution["correlation_id"]) == ({"region": "eu"}, "c1")


async def test_a_start_that_the_log_has_not_heard_of_is_pending(
    api: httpx2.AsyncClient, parts: Parts, orders: None
) -> None:
    async with parts.log.projector._writing:
        execution_id = await started(api, value=7)
        execution = (await api.get(f"{EXECUTIONS}/{execution_id}")).json()
        assert (execution["status"], execution["state"], execution["sequence"]) == ("PENDING", None, 0)
        assert (execution["workflow"], execution["input"]) == ("orders", {"value": 7})
        assert (await api.get(f"{EXECUTIONS}/unknown")).status_code == 404
    await parts.log.caught_up()
    assert (await api.get(f"{EXECUTIONS}/{execution_id}")).json()["status"] == "RUNNING"


async def test_a_key_executes_once_and_says_so(api: httpx2.AsyncClient, orders: None) -> None:
    first = await execute(api, key="k1")
    again = await execute(api, key="k1")
    assert first.json()["execution_id"] == again.json()["execution_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await execute(api, 2, key="k1")).status_code == 409
    assert (await execute(api, key="k1", version=2)).status_code == 409


async def test_a_version_can_be_asked_for(api: httpx2.AsyncClient, orders: None) -> None:
    assert (await execute(api, version=2)).json()["version"] == "2"
    assert (await execute(api, version=9)).status_code == 404


async def test_an_input_that_does_not_fit_is_refused_with_pointers(
    api: httpx2.AsyncClient, orders: None
) -> None:
    answer = await execute(api, "x")
    assert (answer.status_code, answer.json()["code"]) == (422, "saga.input_invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/value"]


@pytest.mark.parametrize("status", [WorkflowStatus.PAUSED, WorkflowStatus.ARCHIVED])
async def test_only_an_active_workflow_is_executed(
    api: httpx2.AsyncClient, parts: Parts, orders: None, status: WorkflowStatus
) -> None:
    await parts.catalogue.change(
        "orders", None, "status", WORDS, lambda one: changes.with_status(one, status)
    )
    answer = await execute(api)
    assert answer.status_code == 409
    assert str(status) in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"deadline_s": 0},
        {"labels": {"parent": "x"}},
        {"version": 0},
        {"surprise": 1},
        {"correlation_id": "a\x00"},
    ],
    ids=lambda body: next(iter(body)),
)
async def test_wrong_fields_are_refused_where_they_stand(
    api: httpx2.AsyncClient, orders: None, body: dict[str, Any]
) -> None:
    answer = await execute(api, **body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/body/{next(iter(body))}"]


async def test_a_cancelled_execution_is_cancelled_once_it_has_ended(
    api: httpx2.AsyncClient, orders: None, running: Running, world: World
) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        execution_id = await started(api)
        await running.stated(execution_id, ("work", FactKind.SUSPENDED))
        answer = await api.post(f"{EXECUTIONS}/{execution_id}/cancel", json=ADA)
        assert (answer.status_code, answer.headers["Location"]) == (202, f"{EXECUTIONS}/{execution_id}")
        execution = await ended(api, execution_id)
        assert (execution["status"], execution["state"]) == ("CANCELLED", "compensated")
        assert (await api.post(f"{EXECUTIONS}/{execution_id}/cancel", json=ADA)).status_code == 409
    assert world.times("undo work") == 1


async def test_a_step_that_waits_is_signalled(
    api: httpx2.AsyncClient, orders: None, running: Running, world: World
) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        execution_id = await started(api)
        told = {"step": "work", "by": "ada", "payload": {"value": 40}}
        answer = await api.post(f"{EXECUTIONS}/{execution_id}/signal", json=told)
        assert answer.status_code == 202
        execution = await ended(api, execution_id)
    assert execution["steps"][0]["output"] == {"value": 40}


async def test_a_deadline_of_its_own_turns_an_execution_round(
    api: httpx2.AsyncClient, parts: Parts, orders: None, running: Running, world: World
) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        late = await started(api, deadline_s=0.3)
        execution = await ended(api, late)
        assert (execution["status"], execution["abort"]["cause"]) == ("COMPENSATED", "deadline")
        world.behaviours.clear()
        in_time = await started(api, deadline_s=3600)
        assert (await ended(api, in_time))["status"] == "COMPLETED"
        async with asyncio.timeout(20):
            while await timers.armed(running.bus):
                await parts.log.caught_up()


async def test_the_first_step_keeps_a_deadline_of_its_own_too(
    api: httpx2.AsyncClient, orders: None, running: Running, world: World
) -> None:
    """Whoever states the start may die before it arms the timer."""
    world.behaviours["work"] = waits
    execution_id = await started(api, deadline_s=0.5)
    await timers.disarm(running.bus, execution_id)
    async with running.serving(world.action("work")):
        assert (await ended(api, execution_id))["abort"]["cause"] == "deadline"


async def test_executions_are_listed_by_what_is_asked(
    api: httpx2.AsyncClient, parts: Parts, orders: None, running: Running, world: World
) -> None:
    async with running.serving(world.action("work")):
        done = await started(api, labels={"region": "eu"})
        await ended(api, done)
        world.behaviours["work"] = refuses
        refused = await started(api, labels={"region": "us"})
        await ended(api, refused)
        world.behaviours["work"] = waits
        cancelled = await started(api)
        await running.stated(cancelled, ("work", FactKind.SUSPENDED))
        await api.post(f"{EXECUTIONS}/{cancelled}/cancel", json=ADA)
        cancelled_at = (await ended(api, cancelled))["started_at"]
        going_on = await started(api, version=2)
        await parts.log.caught_up()
    newest_first = [going_on, cancelled, refused, done]
    assert await listed(api) == await listed(api, workflow="orders") == newest_first
    for status, expected in [
        ("COMPLETED", [done]), ("COMPENSATED", [refused]), ("CANCELLED", [cancelled]), ("RUNNING", [going_on]),
        ("FAILED", []), ("PENDING", []),
    ]:  # fmt: skip
        assert await listed(api, status=status) == expected
    assert await listed(api, status=["COMPLETED", "CANCELLED"]) == [cancelled, done]
    assert await listed(api, version="2") == [going_on]
    assert await listed(api, label="region:eu") == [done]
    assert await listed(api, started_after=cancelled_at) == [going_on, cancelled]
    assert await listed(api, started_before=cancelled_at) == [refused, done]
    assert await listed(api, workflow="others") == []
    first = (await api.get(EXECUTIONS, params={"limit": 3})).json()
    assert await listed(api, limit=3, cursor=first["next_cursor"]) == [done]
    elsewhere = await api.get(EXECUTIONS, params={"cursor": first["next_cursor"], "version": "2"})
    assert elsewhere.status_code == 422


async def test_children_are_listed_with_their_parent_only(
    api: httpx2.AsyncClient, parts: Parts, running: Running
) -> None:
    await running.publish(SagaDefinition(name="one", steps=(Step(name="a", action="test.a"),)))
    parent = (await running.client.start("one", {})).saga_id
    labels = dict(zip(LABELS, (parent, "each", "0"), strict=True))
    child = (await running.client.start("one", {}, StartOptions(labels=labels))).saga_id
    await parts.log.caught_up()
    assert await listed(api) == [parent]
    assert await listed(api, parent=parent) == [child]


async def test_an_unchanged_execution_is_not_sent_again(
    api: httpx2.AsyncClient, parts: Parts, orders: None
) -> None:
    execution_id = await started(api)
    await parts.log.caught_up()
    first = await api.get(f"{EXECUTIONS}/{execution_id}")
    again = await api.get(f"{EXECUTIONS}/{execution_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


async def test_children_of_a_step_are_children_in_the_list(
    api: httpx2.AsyncClient, parts: Parts, running: Running
) -> None:
    """With the real steps, so that what they call their children and what the list hides are the same."""
    from saga.domains import domain_actions

    body = {"steps": [{"name": "pause", "type": "WAIT", "input": {"for_s": 0.01}}]}
    each = {"name": "each", "type": "FOR_EACH", "items": [1, 2], "do": body}
    await parts.catalogue.create(read_workflow(document("fan") | {"steps": [each]}), WORDS, activate=True)
    async with running.serving(*domain_actions("integrations")):
        answer = await api.post("/api/v1/workflows/fan/execute", json={})
        parent = answer.json()["execution_id"]
        assert (await ended(api, parent))["status"] == "COMPLETED"
    assert await listed(api) == [parent]
    children = await listed(api, parent=parent, status="COMPLETED")
    assert len(children) == 2
    child = (await api.get(f"{EXECUTIONS}/{children[0]}")).json()
    assert (child["workflow"], child["labels"]["parent"]) == ("fan--each", parent)
