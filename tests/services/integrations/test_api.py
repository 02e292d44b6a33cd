"""Endpoints, the history of webhooks and transformation rules, over real HTTP and the steps' own databases."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi.responses import Response

from contracts.ids import new_saga_id
from contracts.integrations import CallWebhook, TransformData
from saga.api.app import routed
from saga.api.server import serve_api
from services.integrations.api import open_api
from services.integrations.steps.data_transform import data_transform
from services.integrations.steps.webhook_call import webhook_call
from tests.services.integrations.targets import Target
from tests.services.steps import Steps

WEBHOOKS, DELIVERIES = "/api/v1/webhooks", "/api/v1/webhook-deliveries"
RULES = "/api/v1/transformation-rules"
CHEAPEST = {"name": "cheapest", "version": "1", "operations": [{"op": "sort", "by": ["price"]}]}


@pytest.fixture
async def api(steps: Steps) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        open_api(steps.settings, steps.environment) as routers,
        serve_api(routed("integrations", routers)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


def endpoint(target: Target, **fields: Any) -> dict[str, Any]:
    return {"name": "crm", "url": f"{target.url}/hooks", "secrets": ["hook"]} | fields


def quote(**fields: Any) -> CallWebhook:
    told = {"endpoint": "crm", "type": "quote.chosen", "data": {"price": 40}}
    return CallWebhook.model_validate(told | fields)


async def deliveries(api: httpx2.AsyncClient, path: str = DELIVERIES, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_endpoint_is_set_up_changed_and_taken_away(api: httpx2.AsyncClient, target: Target) -> None:
    created = await api.post(WEBHOOKS, json=endpoint(target, event_types=["quote.*"]))
    assert (created.status_code, created.headers["Location"]) == (201, f"{WEBHOOKS}/crm")
    found = (await api.get(f"{WEBHOOKS}/crm")).json()
    assert (found["enabled"], found["event_types"], found["secrets"]) == (True, ["quote.*"], ["hook"])
    settings = {"url": "https://crm.example/hooks", "secrets": ["hook", "hook-new"], "enabled": False}
    replaced = (await api.put(f"{WEBHOOKS}/crm", json=settings)).json()
    assert settings.items() <= replaced.items()
    assert replaced["event_types"] == []
    assert replaced["updated_at"] > replaced["created_at"] == found["created_at"]
    assert (await api.delete(f"{WEBHOOKS}/crm")).json() == replaced
    assert (await api.get(f"{WEBHOOKS}/crm")).status_code == 404
    assert (await api.put(f"{WEBHOOKS}/crm", json=settings)).status_code == 404


async def test_a_name_is_taken_once_and_endpoints_come_in_pages(
    api: httpx2.AsyncClient, target: Target
) -> None:
    for name in ("b", "c", "a"):
        assert (await api.post(WEBHOOKS, json=endpoint(target, name=name))).status_code == 201
    again = await api.post(WEBHOOKS, json=endpoint(target, name="a"))
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    first = (await api.get(WEBHOOKS, params={"limit": 2})).json()
    rest = (await api.get(WEBHOOKS, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [[one["name"] for one in page["items"]] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert rest["next_cursor"] is None
    assert (await api.get(WEBHOOKS, params={"cursor": "none of ours"})).status_code == 422


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "ftp://crm.example"}, "/body/url"),
        ({"url": "https://user:secret@crm.example"}, "/body/url"),
        ({"secrets": []}, "/body/secrets"),
        ({"event_types": ["*"]}, "/body/event_types/0"),
        ({"event_type": "quote.chosen"}, "/body/event_type"),
    ],
)
async def test_a_wrong_endpoint_is_refused_with_its_place(
    api: httpx2.AsyncClient, target: Target, fields: dict[str, Any], pointer: str
) -> None:
    answer = await api.post(WEBHOOKS, json=endpoint(target, **fields))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_step_tells_an_endpoint_where_and_how_it_is_set_up(
    api: httpx2.AsyncClient, steps: Steps, target: Target
) -> None:
    await api.post(WEBHOOKS, json=endpoint(target))
    target.answers = [Response(status_code=503), Response("fine", 202)]
    saga_id = new_saga_id()
    assert await steps.refused(webhook_call, quote(), saga_id) == "webhook.status"
    moved = {"url": f"{target.url}/elsewhere", "secrets": ["hook", "hook-new"]}
    await api.put(f"{WEBHOOKS}/crm", json=moved)
    output = await steps.done(webhook_call, quote(), saga_id)
    first, second = target.asked
    assert (first.path, second.path) == ("/hooks", "/elsewhere")
    assert first.body == second.body
    assert [len(one.headers["webhook-signature"].split(" ")) for one in (first, second)] == [1, 2]
    (told,) = await deliveries(api, f"{WEBHOOKS}/crm/deliveries")
    assert (told["webhook_id"], told["saga_id"], told["type"]) == (output.webhook_id, saga_id, "quote.chosen")
    assert (told["status"], told["attempts"]) == ("delivered", 2)
    story = (await api.get(f"{DELIVERIES}/{output.webhook_id}")).json()
    assert [one["status"] for one in story["history"]] == [503, 202]
    assert (story["history"][1]["response"], story["body"]["data"]) == ("fine", {"price": 40})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"enabled": False}, "webhook.disabled"),
        ({"event_types": ["order.*"]}, "webhook.not_wanted"),
        ({"name": "other"}, "webhook.no_endpoint"),
    ],
)
async def test_an_endpoint_that_is_not_to_hear_is_told_nothing(
    api: httpx2.AsyncClient, steps: Steps, target: Target, fields: dict[str, Any], code: str
) -> None:
    await api.post(WEBHOOKS, json=endpoint(target, **fields))
    assert await steps.refused(webhook_call, quote(), new_saga_id()) == code
    assert target.asked == []
    assert await deliveries(api) == []


@pytest.mark.parametrize(
    "fields",
    [{"endpoint": ""}, {"url": "https://crm.example"}, {"secrets": ["hook"]}, {"endpoint": "no name"}],
)
def test_a_step_names_an_endpoint_or_gives_a_url_with_secrets(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        quote(**fields)


async def test_the_history_is_filtered_and_comes_in_pages_newest_first(
    api: httpx2.AsyncClient, steps: Steps, target: Target
) -> None:
    await api.post(WEBHOOKS, json=endpoint(target))
    to_url = {"endpoint": "", "url": f"{target.url}/direct", "secrets": ["hook"], "type": "order.made"}
    sagas = [new_saga_id() for _ in range(4)]
    told = [
        (await steps.done(webhook_call, quote(**fields), saga_id)).webhook_id
        for saga_id, fields in zip(sagas, [{}, {}, to_url, {}], strict=True)
    ]
    target.answers = [Response(status_code=500)]
    assert await steps.refused(webhook_call, quote(), failed := new_saga_id()) == "webhook.status"
    (undelivered,) = await deliveries(api, delivered=False)
    assert (undelivered["saga_id"], undelivered["status"]) == (failed, "failed")
    assert [one["webhook_id"] for one in await deliveries(api, delivered=True)] == told[::-1]
    assert [one["webhook_id"] for one in await deliveries(api, endpoint="")] == [told[2]]
    assert [one["webhook_id"] for one in await deliveries(api, type="order.made")] == [told[2]]
    assert [one["webhook_id"] for one in await deliveries(api, saga_id=sagas[1])] == [told[1]]
    path = f"{WEBHOOKS}/crm/deliveries"
    first = (await api.get(path, params={"limit": 2, "delivered": True})).json()
    query = {"limit": 2, "delivered": True, "cursor": first["next_cursor"]}
    rest = (await api.get(path, params=query)).json()
    assert [one["webhook_id"] for one in first["items"] + rest["items"]] == [told[3], told[1], told[0]]
    assert (await api.get(path, params={"cursor": first["next_cursor"]})).status_code == 422


async def test_a_delivery_is_told_again_and_what_came_of_it_is_answered(
    api: httpx2.AsyncClient, steps: Steps, target: Target
) -> None:
    await api.post(WEBHOOKS, json=endpoint(target))
    target.answers = [Response(status_code=410)]
    assert await steps.refused(webhook_call, quote(), new_saga_id()) == "webhook.gone"
    (told,) = await deliveries(api)
    path = f"{DELIVERIES}/{told['webhook_id']}/redeliver"
    target.answers = [Response(status_code=500), Response(status_code=204)]
    assert (await api.post(path)).json()["status"] == "failed"
    story = (await api.post(path)).json()
    assert (story["status"], story["attempts"]) == ("delivered", 3)
    assert [(one["status"], one["redelivery"]) for one in story["history"]] == [
        (410, False),
        (500, True),
        (204, True),
    ]
    assert len({asked.body for asked in target.asked}) == 1
    assert (await api.post(f"{DELIVERIES}/msg_0/redeliver")).status_code == 404


async def test_what_a_disabled_endpoint_missed_is_not_told_again(
    api: httpx2.AsyncClient, steps: Steps, target: Target
) -> None:
    await api.post(WEBHOOKS, json=endpoint(target))
    output = await steps.done(webhook_call, quote(), new_saga_id())
    settings = endpoint(target, enabled=False)
    settings.pop("name")
    await api.put(f"{WEBHOOKS}/crm", json=settings)
    answer = await api.post(f"{DELIVERIES}/{output.webhook_id}/redeliver")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "webhook.disabled" in answer.json()["detail"]
    assert len(target.asked) == 1


async def test_a_rule_is_stored_once_and_used_by_the_step(api: httpx2.AsyncClient, steps: Steps) -> None:
    stored = await api.post(RULES, json=CHEAPEST)
    assert (stored.status_code, stored.headers["Location"]) == (201, f"{RULES}/cheapest/1")
    assert (await api.post(RULES, json=CHEAPEST)).status_code == 200
    other = {**CHEAPEST, "operations": [{"op": "sort", "by": ["-price"]}]}
    assert (await api.post(RULES, json=other)).status_code == 409
    command = TransformData.model_validate(
        {"data": [{"price": 2}, {"price": 1}], "rule": {"name": "cheapest"}}
    )
    output = await steps.done(data_transform, command, new_saga_id())
    assert (output.rule, output.result) == ("cheapest@1", [{"price": 1}, {"price": 2}])


async def test_rules_are_listed_by_name_and_version_and_the_newest_is_the_one_stored_last(
    api: httpx2.AsyncClient,
) -> None:
    for name, version in (("b", "1"), ("a", "2"), ("a", "1")):
        await api.post(RULES, json={**CHEAPEST, "name": name, "version": version})
    first = (await api.get(RULES, params={"limit": 2})).json()
    rest = (await api.get(RULES, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    listed = [(one["name"], one["version"]) for one in first["items"] + rest["items"]]
    assert listed == [("a", "1"), ("a", "2"), ("b", "1")]
    assert [one["name"] for one in (await api.get(RULES, params={"name": "b"})).json()["items"]] == ["b"]
    assert (await api.get(f"{RULES}/a")).json()["version"] == "1"
    assert (await api.get(f"{RULES}/a/2")).json()["version"] == "2"
    assert (await api.get(f"{RULES}/a/3")).status_code == 404


async def test_a_rule_is_tried_on_data_that_it_may_not_fit(api: httpx2.AsyncClient) -> None:
    await api.post(RULES, json=CHEAPEST)
    tried = await api.post(f"{RULES}/cheapest/1/try", json={"data": [{"price": 9}, {"price": 3}]})
    assert tried.json() == {"result": [{"price": 3}, {"price": 9}]}
    refused = await api.post(f"{RULES}/cheapest/1/try", json={"data": 7})
    assert (refused.status_code, refused.json()["code"]) == (422, "contract.invalid")


async def test_a_wrong_rule_is_refused_with_its_place(api: httpx2.AsyncClient) -> None:
    answer = await api.post(RULES, json={**CHEAPEST, "operations": [{"op": "shuffle"}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/body/operations/0"
