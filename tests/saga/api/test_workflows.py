"""Workflows over real HTTP: versions, preconditions, status, split, texts; every error is a problem with pointers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from saga.action import ActionContext
from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.workflows.text import Form, read_all
from tests.saga.workflows.documents import document
from tests.world import Number, Running, World

WORKFLOWS = "/api/v1/workflows"
ORDERS = f"{WORKFLOWS}/orders"
ADA = {"by": "ada", "reason": "because"}
ANY = {"If-Match": "*"}
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def api(running: Running, data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with (
        open_parts(running.bus, running.definitions, url) as parts,
        serve_api(create_app(parts)) as base,
        httpx2.AsyncClient(base_url=base, trust_env=False) as client,
    ):
        yield client


async def created(api: httpx2.AsyncClient, name: str = "orders", **fields: Any) -> httpx2.Response:
    query = {"activate": fields.pop("activate", False), "tag": fields.pop("tag", [])}
    answer = await api.post(WORKFLOWS, json=document(name, **fields), params={**ADA, **query})
    assert answer.status_code == 201, answer.text
    return answer


async def updated(api: httpx2.AsyncClient, source: str, **query: Any) -> httpx2.Response:
    answer = await api.put(ORDERS, json=document(source=source), params={**ADA, **query}, headers=ANY)
    assert answer.status_code == 200, answer.text
    return answer


def pointers(answer: httpx2.Response, status: int = 422) -> set[str]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["pointer"] for error in answer.json()["errors"]}


async def test_a_workflow_is_created_shown_and_started_by_its_name(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    answer = await created(api, tag=["eu", "b2b"], category="sales", description="All orders")
    assert answer.headers["Location"] == ORDERS
    assert answer.headers["ETag"] == f'"{answer.json()["revision"]}"'
    found = await api.get(ORDERS)
    assert (found.json(), found.headers["ETag"]) == (answer.json(), answer.headers["ETag"])
    told = found.json()
    assert (told["status"], told["tags"], told["version"]) == ("DRAFT", ["eu", "b2b"], 1)
    assert told["document"] == document(category="sales", description="All orders")
    assert [(one["what"], one["by"], one["reason"]) for one in told["changes"]] == [
        ("version 1", "ada", "because")
    ]
    start = {"definition": "orders", "input": {"value": 1}}
    assert (await api.post("/api/v1/sagas", json=start)).status_code == 409
    active = await api.put(f"{ORDERS}/status", json={"status": "ACTIVE", **ADA})
    assert active.json()["active"] == [{"version": 1, "weight": 100}]
    async with running.serving(world.action("work")):
        started = await api.post("/api/v1/sagas", json=start)
        assert (started.status_code, started.json()["definition"]) == (202, "orders@1")
        await running.stated(started.json()["saga_id"], ("work", FactKind.COMPLETED))


async def test_an_update_is_a_further_version_over_what_was_read(api: httpx2.AsyncClient) -> None:
    first = (await created(api)).headers["ETag"]
    changed = document(source="2")
    unread = await api.put(ORDERS, json=changed, params=ADA)
    assert (unread.status_code, unread.json()["code"]) == (428, "precondition.required")
    answer = await api.put(ORDERS, json=changed, params=ADA, headers={"If-Match": first})
    assert (answer.status_code, answer.json()["version"], answer.json()["active"]) == (200, 2, [])
    for late in (first, '"nothing of ours"', f"W/{answer.headers['ETag']}"):
        stale = await api.put(ORDERS, json=document(source="3"), params=ADA, headers={"If-Match": late})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition.failed")
    same = await api.put(ORDERS, json=changed, params=ADA, headers={"If-Match": answer.headers["ETag"]})
    assert (same.status_code, same.json()) == (200, answer.json())
    assert (await api.get(ORDERS, params={"version": 1})).json()["document"] == document()
    assert (await api.get(ORDERS, params={"version": 9})).status_code == 404


async def test_of_two_that_change_what_both_have_read_one_is_told(api: httpx2.AsyncClient) -> None:
    headers = {"If-Match": (await created(api)).headers["ETag"]}
    answers = await asyncio.gather(
        *(api.put(ORDERS, json=document(source=str(n)), params=ADA, headers=headers) for n in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    assert len((await api.get(f"{ORDERS}/versions")).json()["items"]) == 2


async def test_versions_are_listed_shown_and_told_apart(api: httpx2.AsyncClient) -> None:
    await created(api, activate=True)
    await updated(api, "2")
    extra = {"name": "then", "type": "WAIT", "after": ["work"], "input": {"for_s": 1}}
    third = document(source="3") | {"steps": [*document(source="3")["steps"], extra]}
    await api.put(ORDERS, json=third, params=ADA, headers=ANY)
    listed = (await api.get(f"{ORDERS}/versions")).json()["items"]
    assert [(one["version"], one["weight"], one["by"]) for one in listed] == [
        (3, None, "ada"),
        (2, None, "ada"),
        (1, 100, "ada"),
    ]
    shown = (await api.get(f"{ORDERS}/versions/2")).json()
    assert (shown["document"], shown["content_hash"]) == (document(source="2"), listed[1]["content_hash"])
    change = {"kind": "changed", "pointer": "/steps/0/input/value", "before": "2", "after": "3"}
    addition = {"kind": "added", "pointer": "/steps/1", "before": None, "after": extra}
    newest = (await api.get(f"{ORDERS}/diff")).json()
    assert newest == {"from_version": 2, "to_version": 3, "items": [change, addition]}
    back = (await api.get(f"{ORDERS}/diff", params={"from": 2, "to": 1})).json()
    assert [(one["kind"], one["after"]) for one in back["items"]] == [("changed", "${input.value}")]
    for query in ({"to": 1}, {"from": 7}, {"to": 7}):
        assert (await api.get(f"{ORDERS}/diff", params=query)).status_code == 404


async def test_new_executions_get_what_is_activated_split_or_rolled_back_to(api: httpx2.AsyncClient) -> None:
    await created(api, activate=True)
    await updated(api, "2", activate=True)
    await updated(api, "3")
    shares = [{"version": 1, "weight": 1}, {"version": 3, "weight": 9}]
    split = await api.put(f"{ORDERS}/split", json={"shares": shares, **ADA})
    assert (split.status_code, split.json()["active"]) == (200, shares)
    only = [{"version": 3, "weight": 100}]
    assert (await api.post(f"{ORDERS}/activate", json=ADA)).json()["active"] == only
    assert (await api.post(f"{ORDERS}/rollback", json=ADA)).json()["active"] == shares
    back = (await api.post(f"{ORDERS}/rollback", json=ADA)).json()
    assert back["active"] == [{"version": 2, "weight": 100}]
    stale = {"If-Match": split.headers["ETag"]}
    assert (await api.post(f"{ORDERS}/rollback", json=ADA, headers=stale)).status_code == 412
    assert (await api.post(f"{ORDERS}/activate", json={"version": 8, **ADA})).status_code == 404
    twice = {"shares": [{"version": 1}, {"version": 1}], **ADA}
    assert (await api.put(f"{ORDERS}/split", json=twice)).status_code == 422


async def test_a_status_follows_only_where_it_can(api: httpx2.AsyncClient) -> None:
    await created(api)

    async def become(status: str) -> int:
        return (await api.put(f"{ORDERS}/status", json={"status": status, **ADA})).status_code

    told = [
        await become(status) for status in ("PAUSED", "ACTIVE", "PAUSED", "ARCHIVED", "ARCHIVED", "PAUSED")
    ]
    assert told == [409, 200, 200, 200, 200, 409]
    archived = await api.put(ORDERS, json=document(source="2"), params=ADA, headers=ANY)
    assert (archived.status_code, archived.json()["code"]) == (409, "conflict")


async def test_what_runs_keeps_a_workflow_from_being_deleted_unless_forced(
    api: httpx2.AsyncClient, running: Running, world: World
) -> None:
    async def waits(ctx: ActionContext, command: Number) -> Number:
        await ctx.signal()
        return command

    world.behaviours["work"] = waits
    await created(api, activate=True)
    async with running.serving(world.action("work")):
        started = await api.post("/api/v1/sagas", json={"definition": "orders", "input": {"value": 1}})
        saga, sequence = started.headers["Location"], started.json()["sequence"]
        assert (await api.get(saga, params={"after_sequence": sequence - 1, "wait_s": 20})).status_code == 200
        assert (await api.delete(ORDERS, params=ADA)).status_code == 428
        refused = await api.delete(ORDERS, params=ADA, headers=ANY)
        assert (refused.status_code, "1 running" in refused.json()["detail"]) == (409, True)
        assert (await api.delete(ORDERS, params={**ADA, "force": True}, headers=ANY)).status_code == 204
        step = "work"
        told = await api.post(f"{saga}/steps/{step}/signal", json={"by": "ada"})
        assert told.status_code == 202
        await running.stated(started.json()["saga_id"], ("work", FactKind.COMPLETED))


async def test_what_is_deleted_is_out_of_sight_and_comes_back(api: httpx2.AsyncClient) -> None:
    await created(api, activate=True)
    assert (await api.delete(ORDERS, params=ADA, headers=ANY)).status_code == 204
    assert (await api.get(ORDERS)).status_code == 404
    assert (await api.get(WORKFLOWS)).json()["items"] == []
    shown = (await api.get(ORDERS, params={"include_deleted": True})).json()
    assert (shown["deleted"], shown["status"]) == (True, "ARCHIVED")
    (listed,) = (await api.get(WORKFLOWS, params={"include_deleted": True})).json()["items"]
    assert listed["name"] == "orders"
    back = await api.post(f"{ORDERS}/restore", json=ADA)
    assert (back.status_code, back.json()["status"]) == (200, "ARCHIVED")
    assert (await api.delete(ORDERS, params=ADA, headers=ANY)).status_code == 204
    anew = await created(api)
    assert (anew.json()["version"], anew.json()["status"], anew.json()["active"]) == (2, "DRAFT", [])


async def test_workflows_are_filtered_and_come_in_pages_by_name(api: httpx2.AsyncClient) -> None:
    await created(api, "b-orders", category="sales", tag=["eu", "big"], description="Everything SOLD")
    await created(api, "a-orders", category="sales", tag=["eu"], activate=True)
    await created(api, "c-report")

    async def names(**query: Any) -> list[str]:
        answer = await api.get(WORKFLOWS, params=query)
        assert answer.status_code == 200, answer.text
        return [one["name"] for one in answer.json()["items"]]

    assert await names() == ["a-orders", "b-orders", "c-report"]
    assert await names(category="sales", tag=["big", "eu"]) == ["b-orders"]
    assert await names(status=["ACTIVE", "PAUSED"]) == ["a-orders"]
    assert await names(prefix="c-") == ["c-report"]
    assert await names(q="sold") == ["b-orders"]
    first = (await api.get(WORKFLOWS, params={"limit": 2})).json()
    assert await names(limit=2, cursor=first["next_cursor"]) == ["c-report"]
    foreign = await api.get(WORKFLOWS, params={"prefix": "a", "cursor": first["next_cursor"]})
    assert foreign.status_code == 422
    assert (await api.get(f"{WORKFLOWS}/categories")).json()["items"] == [
        {"category": "general", "workflows": 1},
        {"category": "sales", "workflows": 2},
    ]
    retagged = await api.put(f"{WORKFLOWS}/c-report/tags", json={"tags": ["eu", "eu"], **ADA})
    assert retagged.json()["tags"] == ["eu"]
    assert await names(tag="eu") == ["a-orders", "b-orders", "c-report"]


WRONG = document(colour="red") | {
    "steps": [
        {"name": "a", "type": "SHELL", "after": ["nobody"]},
        {"name": "a", "type": "HTTP_REQUEST", "input": {"method": "GET"}, "retries": 3},
        {"name": "b", "type": "WAIT", "after": ["c"], "when": "input.a ===", "input": {"for_s": 1}},
        {"name": "c", "type": "WAIT", "after": ["b"], "input": {"for_s": "${steps.gone.x}"}},
        {"name": "d", "type": "VALIDATION", "input": {"data": 1, "schema": {"type": "nothing"}}},
    ]
}


async def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_kept(api: httpx2.AsyncClient) -> None:
    unknown_fields, unknown_type = {"/colour", "/steps/1/retries"}, {"/steps/0"}
    duplicate_and_circle, missing = {"/steps"}, {"/steps/1/input/url"}
    dangling, no_condition = {"/steps/0/after", "/steps/3/input/for_s"}, {"/steps/2/when"}
    expected = unknown_fields | unknown_type | duplicate_and_circle | missing | dangling | no_condition
    expected.add("/steps/4/input/schema")
    for path in (WORKFLOWS, f"{WORKFLOWS}/validate", f"{WORKFLOWS}/import"):
        answer = await api.post(path, json=WRONG)
        assert pointers(answer) == expected
    details = " ".join(error["detail"] for error in answer.json()["errors"] if error["pointer"] == "/steps")
    assert "two steps are named 'a'" in details
    assert "circle" in details
    assert (await api.get(WORKFLOWS, params={"include_deleted": True})).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "pointer"),
    [
        ("POST", "", {"name": "import", "steps": []}, 422, "/steps"),
        ("POST", "", document("categories"), 422, "/name"),
        ("POST", "", document("a.b"), 422, "/name"),
        ("POST", "?tag=Not+A+Tag", document("x"), 422, "/query/tag/0"),
        ("PUT", "/orders", document("other"), 422, "/name"),
        ("PUT", "/nobody", document("nobody"), 404, ""),
        ("POST", "", document(), 409, ""),
        ("POST", "", document("shipped"), 409, ""),
        ("PUT", "/orders/status", {"status": "RUNNING", **ADA}, 422, "/body/status"),
        ("PUT", "/orders/status", {"status": "ACTIVE", "by": "ada"}, 422, "/body/reason"),
        ("PUT", "/orders/split", {"shares": [{"version": 1, "weight": 0}], **ADA}, 422, "/body/shares/0/weight"),
        ("PUT", "/orders/split", {"shares": [], **ADA}, 422, ""),
        ("PUT", "/orders/tags", {"tags": ["A B"], **ADA}, 422, "/body/tags/0"),
        ("POST", "/orders/rollback", ADA, 409, ""),
        ("GET", "?colour=red", None, 422, "/query/colour"),
        ("GET", "?cursor=none+of+ours", None, 422, ""),
        ("GET", "/orders/versions/0", None, 422, "/path/number"),
        ("GET", "/orders/versions/2", None, 404, ""),
        ("GET", "/nobody/versions", None, 404, ""),
        ("GET", "/nobody/export", None, 404, ""),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_a_problem(
    api: httpx2.AsyncClient, running: Running, method: str, path: str, body: Any, status: int, pointer: str
) -> None:
    await running.publish(SagaDefinition(name="shipped", steps=(Step(name="a", action="test.a"),)))
    await created(api)
    answer = await api.request(method, WORKFLOWS + path, json=body, headers=ANY)
    found = pointers(answer, status)
    assert not pointer or pointer in found


async def test_a_document_comes_and_goes_as_yaml_or_json(api: httpx2.AsyncClient) -> None:
    text = "name: orders\nsteps:\n- {name: work, type: ACTION, action: test.work, input: {value: 08}}\n"
    answer = await api.post(WORKFLOWS, content=text, headers=YAML, params=ADA)
    assert (answer.status_code, answer.json()["document"]) == (201, document(source="08"))
    told = await api.get(f"{ORDERS}/export", headers={"Accept": "application/yaml"})
    assert told.headers["content-type"].startswith("application/yaml")
    assert read_all(told.content, Form.YAML) == [document(source="08")]
    again = await api.put(ORDERS, content=told.content, headers={**YAML, **ANY}, params=ADA)
    assert again.json()["version"] == 1
    await updated(api, "9")
    query: dict[str, Any] = {"version": 1, "format": "json"}
    assert (await api.get(f"{ORDERS}/export", params=query)).json() == document(source="08")
    broken = await api.post(WORKFLOWS, content="name: [", headers=YAML)
    assert (broken.status_code, broken.json()["code"]) == (422, "document.unreadable")


@pytest.mark.parametrize("form", Form)
async def test_what_is_exported_can_be_imported(api: httpx2.AsyncClient, form: Form) -> None:
    await created(api, "a-orders", category="sales")
    await created(api, "b-orders", category="sales")
    await created(api, "c-report")
    query = {"category": "sales", "format": form.value}
    told = await api.get(f"{WORKFLOWS}/export", params=query)
    documents = read_all(told.content, form)
    assert documents == [document(name, category="sales") for name in ("a-orders", "b-orders")]
    documents[0]["description"] = "changed"
    await api.delete(f"{WORKFLOWS}/b-orders", params=ADA, headers=ANY)
    body = [*documents, document("d-new"), document("c-report")]
    answer = await api.post(f"{WORKFLOWS}/import", json=body, params={**ADA, "tag": "new", "activate": True})
    assert [(one["name"], one["outcome"], one["version"]) for one in answer.json()["items"]] == [
        ("a-orders", "updated", 2),
        ("b-orders", "created", 2),
        ("d-new", "created", 1),
        ("c-report", "unchanged", 1),
    ]
    active = (await api.get(WORKFLOWS, params={"status": "ACTIVE"})).json()["items"]
    assert [(one["name"], one["tags"]) for one in active] == [
        ("a-orders", []), ("b-orders", ["new"]), ("c-report", []), ("d-new", ["new"]),
    ]  # fmt: skip


async def test_an_import_with_a_mistake_saves_nothing_and_says_all_of_them(api: httpx2.AsyncClient) -> None:
    wrong = document("bad") | {"steps": [{"name": "w", "type": "WAIT", "input": {"for_s": "x"}}]}
    body = [document("good"), wrong, document("good", source="2"), 7]
    found = pointers(await api.post(f"{WORKFLOWS}/import", json=body, params=ADA))
    assert found == {"/1/steps/0/input/for_s", "/2/name", "/3"}
    assert (await api.get(WORKFLOWS)).json()["items"] == []


@pytest.mark.parametrize("depth", [110, 300, 450])
async def test_what_is_nested_without_end_is_refused(api: httpx2.AsyncClient, depth: int) -> None:
    deep = '{"a": ' * depth + "1" + "}" * depth
    text = f"name: orders\ninput_schema: {deep}\nsteps: [{{name: a, type: WAIT, input: {{for_s: 1}}}}]\n"
    await created(api, activate=True)
    json = {"Content-Type": "application/json"}
    use = f'{{"name": "mine", "by": "ada", "reason": "r", "parameters": {deep}}}'
    for answer in (
        await api.post(WORKFLOWS, content=text, headers=YAML),
        await api.post("/api/v1/workflow-templates/best-quote/instantiate", content=use, headers=json),
        await api.post("/api/v1/sagas", content=f'{{"definition": "orders", "input": {deep}}}', headers=json),
    ):
        assert answer.status_code == 422, answer.text
        assert "nested more than 100 deep" in answer.json()["detail"]


async def test_only_so_many_are_imported_at_a_time(api: httpx2.AsyncClient) -> None:
    answer = await api.post(f"{WORKFLOWS}/import", json=[document(f"w{number}") for number in range(201)])
    assert (answer.status_code, answer.json()["code"]) == (422, "document.unreadable")
    assert "at most 200" in answer.json()["detail"]


async def test_what_contradicts_the_catalogue_is_refused_and_the_rest_imported(
    api: httpx2.AsyncClient,
) -> None:
    await created(api)
    await api.put(f"{ORDERS}/status", json={"status": "ARCHIVED", **ADA})
    body = [document(source="2"), document("other")]
    first, second = (await api.post(f"{WORKFLOWS}/import", json=body, params=ADA)).json()["items"]
    assert (first["outcome"], "archived" in first["detail"]) == ("refused", True)
    assert (second["outcome"], second["version"]) == ("created", 1)


async def test_validating_tells_what_a_workflow_would_become_and_keeps_nothing(
    api: httpx2.AsyncClient,
) -> None:
    body = {"steps": [{"name": "w", "type": "WAIT", "input": {"for_s": 1}}]}
    each = {"name": "each", "type": "FOR_EACH", "items": "${input.all}", "do": body}
    answer = await api.post(f"{WORKFLOWS}/validate", json={"name": "orders", "steps": [each]})
    assert (answer.status_code, answer.json()["items"]) == (
        200,
        [{"name": "orders", "definitions": ["orders--each", "orders"]}],
    )
    assert (await api.get(WORKFLOWS)).json()["items"] == []
