"""Workflows sent with the request, over real HTTP: run as they are, kept for those in flight, in no list."""

import asyncio
from typing import Any

import httpx2
import pytest

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from saga.action import ActionContext
from saga.api.parts import Parts
from saga.domains import domain_actions
from tests.saga.api.test_executions import ended
from tests.saga.workflows.documents import document
from tests.world import Number, Running, World

ORCHESTRATIONS = "/api/v1/orchestrations"
ACTIVE = f"{ORCHESTRATIONS}/active"


async def sent(api: httpx2.AsyncClient, workflow: dict[str, Any], **body: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    told = {"workflow": workflow, "input": {"value": 1}, **body}
    return await api.post(ORCHESTRATIONS, json=told, headers=headers)


async def waits(ctx: ActionContext, command: Number) -> Number:
    return Number.model_validate(await ctx.signal())


async def test_a_workflow_that_is_sent_runs_and_is_found_while_it_does(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World
) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        answer = await sent(api, document("mine"), labels={"team": "red"})
        assert answer.status_code == 202
        execution_id = answer.json()["execution_id"]
        assert answer.headers["Location"] == f"/api/v1/executions/{execution_id}"
        await running.stated(execution_id, ("work", FactKind.SUSPENDED))
        await parts.log.caught_up()
        (listed,) = (await api.get(ACTIVE)).json()["items"]
        assert (listed["execution_id"], listed["status"]) == (execution_id, "RUNNING")
        assert (await api.get(f"{ACTIVE}/{execution_id}")).json()["labels"] == {"team": "red"}
        signal = {"step": "work", "by": "ada", "payload": {"value": 8}}
        assert (await api.post(f"/api/v1/executions/{execution_id}/signal", json=signal)).status_code == 202
        execution = await ended(api, execution_id)
    assert (execution["status"], execution["steps"][0]["output"]) == ("COMPLETED", {"value": 8})
    assert (await api.get(ACTIVE)).json()["items"] == []
    gone = await api.get(f"{ACTIVE}/{execution_id}")
    assert (gone.status_code, "is COMPLETED" in gone.json()["detail"]) == (404, True)


async def test_it_is_active_before_the_log_has_heard_of_it(api: httpx2.AsyncClient, parts: Parts) -> None:
    async with parts.log.projector._writing:
        execution_id = (await sent(api, document("mine"))).json()["execution_id"]
        assert (await api.get(f"{ACTIVE}/{execution_id}")).json()["status"] == "PENDING"


async def test_the_same_workflow_is_the_same_definition_and_another_is_another(
    api: httpx2.AsyncClient, parts: Parts
) -> None:
    one, same, other = [
        (await sent(api, workflow)).json()["version"]
        for workflow in (document("mine"), document("mine", description=""), document("mine", "2"))
    ]
    assert one == same != other
    definition = parts.definitions.get(f"inline@{one}")
    assert definition is not None
    assert definition.metadata == {"workflow": "mine"}


async def test_it_is_hidden_from_lists_unless_asked_for(api: httpx2.AsyncClient, running: Running) -> None:
    await running.publish(SagaDefinition(name="shipped", steps=(Step(name="a", action="test.a"),)))
    name = (await sent(api, document("mine"))).json()["workflow"]

    async def names(**query: Any) -> set[str]:
        items = (await api.get("/api/v1/definitions", params=query)).json()["items"]
        return {item["name"] for item in items}

    assert await names() == {"shipped"}
    assert await names(inline=True) == {"shipped", name}
    unknown = await api.post("/api/v1/sagas", json={"definition": "nowhere"})
    assert name not in unknown.json()["detail"]


async def test_a_key_runs_one_workflow_once(api: httpx2.AsyncClient) -> None:
    first = await sent(api, document("mine"), key="k")
    again = await sent(api, document("mine"), key="k")
    assert (again.json()["execution_id"], again.headers["Idempotency-Replayed"]) == (
        first.json()["execution_id"], "true",
    )  # fmt: skip
    assert (await sent(api, document("mine", "2"), key="k")).status_code == 409


async def test_everything_that_is_wrong_is_said_and_nothing_is_kept(
    api: httpx2.AsyncClient, parts: Parts
) -> None:
    before = len(parts.definitions.all())
    wrong = {
        "steps": [
            {"name": "a", "type": "ACTION", "action": "test.work", "when": "1 >"},
            {"name": "b", "type": "ACTION", "action": "test.work", "after": ["nobody"]},
        ]
    }
    answer = await sent(api, wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "definition.invalid")
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/steps/0/when", "/steps/1/after"}
    reserved = await sent(api, document("inline"))
    assert [error["pointer"] for error in reserved.json()["errors"]] == ["/name"]
    assert len(parts.definitions.all()) == before


@pytest.mark.parametrize("source", ["fan", "unknown"])
async def test_only_orchestrations_are_active_ones(
    api: httpx2.AsyncClient, parts: Parts, running: Running, source: str
) -> None:
    """What runs of the catalogue, and what is unknown, is none."""
    await running.publish(SagaDefinition(name="fan", steps=(Step(name="a", action="test.a"),)))
    execution_id = (await running.client.start("fan", {})).saga_id if source == "fan" else source
    await parts.log.caught_up()
    assert (await api.get(f"{ACTIVE}/{execution_id}")).status_code == 404
    assert (await api.get(ACTIVE)).json()["items"] == []


async def test_children_of_what_was_sent_are_no_orchestrations(
    api: httpx2.AsyncClient, parts: Parts, running: Running
) -> None:
    body = {"steps": [{"name": "hold", "type": "WAIT", "input": {"signal": True}}]}
    each = {"name": "each", "type": "FOR_EACH", "items": [1], "do": body}
    async with running.serving(*domain_actions("integrations")):
        parent = (await sent(api, {"steps": [each]})).json()["execution_id"]
        children: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not children:
                answer = await api.get("/api/v1/executions", params={"parent": parent})
                children = answer.json()["items"]
        child = children[0]["execution_id"]
        assert [item["execution_id"] for item in (await api.get(ACTIVE)).json()["items"]] == [parent]
        assert (await api.get(f"{ACTIVE}/{child}")).status_code == 404
        signal = {"step": "hold", "by": "ada"}
        assert (await api.post(f"/api/v1/executions/{child}/signal", json=signal)).status_code == 202
        assert (await ended(api, parent))["status"] == "COMPLETED"


async def test_other_workflows_of_the_same_steps_cost_the_consumers_nothing(
    api: httpx2.AsyncClient, running: Running
) -> None:
    async def heard() -> set[str]:
        stream = running.bus.names.facts(0)
        config = (await running.bus.jetstream.consumer_info(stream, "test-work")).config
        return {*(config.filter_subjects or ()), config.filter_subject or ""}

    assert (await sent(api, document("mine"))).status_code == 202
    before = await heard()
    for number in range(5):
        assert (await sent(api, document("mine", str(number)))).status_code == 202
    assert await heard() == before
