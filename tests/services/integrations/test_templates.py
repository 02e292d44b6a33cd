"""Every template that is shipped, made into a workflow over HTTP and run with its example, on the real bus.

The hosts of the examples are a server of the test.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from contracts.workflows import compile_workflow, parse_workflow
from saga.api.app import create_app, open_parts, routed
from saga.api.server import serve_api
from saga.domains import domain_actions, known_templates
from saga.service import ServiceSettings, serve
from saga.workflows.templates import filled
from services.integrations.api import open_api
from tests.services.integrations.targets import Target
from tests.world import Running

TEMPLATES = "/api/v1/workflow-templates"
ADA = {"by": "ada", "reason": "because"}
NAMES = sorted(known_templates())
ORDERS = [
    {"id": "a", "country": "CH", "amount": 10, "paid": True},
    {"id": "b", "country": "CH", "amount": 5, "paid": True},
    {"id": "c", "country": "DE", "amount": 99, "paid": False},
]


class Outside:
    """What the services of the examples answer. `refuses` are paths that say no."""

    def __init__(self) -> None:
        self.polls = 0
        self.refuses: set[str] = set()

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        if path in self.refuses:
            return Response(status_code=422)
        if (request.method, path) == ("GET", "/jobs/j1"):
            self.polls += 1
            return JSONResponse({"rows": 3}, 200 if self.polls > 2 else 202)
        answers: dict[str, Any] = {
            "/jobs": {"id": "j1"}, "/orders": {"orders": ORDERS}, "/alpine": {"price": 40}, "/beacon": {"price": 30},
            "/reservations": {"id": "r 1"}, "/charges": {"id": "c1"},
        }  # fmt: skip
        return JSONResponse(answers.get(path, {"ok": True}))


@dataclass
class System:
    """The API, with the integrations running, and what they call."""

    api: httpx2.AsyncClient
    target: Target
    outside: Outside

    def example(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and input; a host becomes a path of the target if it has none of its own that tells enough."""
        example = known_templates()[name].example.model_dump()
        told = re.sub(
            r"https://(alpine|beacon)\.example/quotes", rf"{self.target.url}/\1", json.dumps(example)
        )
        found = json.loads(re.sub(r"https://\w+\.example", self.target.url, told))
        return found["parameters"], found["input"]

    async def make(self, name: str, **parameters: Any) -> None:
        given, _ = self.example(name)
        body = {"name": "mine", "parameters": given | parameters, "activate": True, **ADA}
        answer = await self.api.post(f"{TEMPLATES}/{name}/instantiate", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Location"] == "/api/v1/workflows/mine"
        assert answer.json()["document"]["metadata"] == {"template": name}

    async def start(self, name: str) -> str:
        body = {"definition": "mine", "input": self.example(name)[1]}
        started = await self.api.post("/api/v1/sagas", json=body)
        assert started.status_code == 202, started.text
        return str(started.json()["saga_id"])

    async def ended(self, saga_id: str) -> dict[str, Any]:
        sequence = 0
        async with asyncio.timeout(30):
            while True:
                query = {"after_sequence": sequence, "wait_s": 5}
                answer = await self.api.get(f"/api/v1/sagas/{saga_id}", params=query)
                if answer.status_code == 404:
                    continue
                saga: dict[str, Any] = answer.json()
                if saga["status"] in ("completed", "compensated", "failed", "waiting"):
                    return saga
                sequence = saga["sequence"]

    def asked(self) -> Counter[str]:
        return Counter(f"{one.method} {one.path}" for one in self.target.asked)

    def told(self, path: str = "/hooks") -> list[Any]:
        """What webhooks have brought."""
        return [json.loads(one.body) for one in self.target.asked if one.path == path]


@pytest.fixture
async def system(running: Running, target: Target, data: Path) -> AsyncIterator[System]:
    environment = {
        "SAGA_HTTP_ALLOW": target.place,
        "SAGA_SECRET_CUSTOMER_HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
    settings, outside = ServiceSettings(data=data, grace_s=0), Outside()
    target.then = outside.answer
    async with (
        open_parts(running.bus, running.definitions, f"sqlite+aiosqlite:///{data / 'log.db'}") as parts,
        serve_api(create_app(parts)) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as api,
        serve(
            domain_actions("integrations"),
            running.bus,
            running.definitions,
            settings,
            environment=environment,
        ),
        open_api(settings, environment) as routers,
        serve_api(routed("integrations", routers)) as own,
        httpx2.AsyncClient(base_url=own, trust_env=False) as integrations,
    ):
        for name in ("crm", "billing"):
            endpoint = {"name": name, "url": f"{target.url}/{name}", "secrets": ["customer-hook"]}
            assert (await integrations.post("/api/v1/webhooks", json=endpoint)).status_code == 201
        yield System(api, target, outside)


async def run(system: System, name: str) -> dict[str, Any]:
    """Make it, start it, approve it if it asks for that; the saga when it has ended."""
    await system.make(name)
    saga_id = await system.start(name)
    if name == "approved-request":
        path = f"/api/v1/sagas/{saga_id}/steps/approval/signal"
        body = {"by": "ada", "payload": {"approved": True}}
        assert (await system.api.post(path, json=body)).status_code == 202
    return await system.ended(saga_id)


def test_at_least_six_are_shipped() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_whatever_fits_the_bounds_of_a_parameter_makes_a_workflow(name: str) -> None:
    template = known_templates()[name]
    for parameter, schema in template.parameters["properties"].items():
        for value in [schema[bound] for bound in ("minimum", "maximum") if bound in schema] + schema.get(
            "enum", []
        ):
            document = filled(template, "mine", template.example.parameters | {parameter: value})
            compile_workflow(parse_workflow(document), "1")


@pytest.mark.parametrize("name", NAMES)
async def test_a_template_becomes_a_workflow_that_runs(system: System, name: str) -> None:
    saga = await run(system, name)
    assert saga["status"] == "completed", saga["abort"]
    outputs = {step["name"]: step["output"] for step in saga["steps"]}
    match name:
        case "request-and-notify":
            (told,) = system.told()
            assert (told["type"], told["data"]["request"]) == (
                "request.answered",
                {"item": "tea", "quantity": 2},
            )
        case "approved-request":
            assert [one["type"] for one in system.told()] == ["approval.due"]
            assert system.asked()["POST /orders"] == 1
        case "best-quote":
            (told,) = system.told()
            assert told["data"]["best"] == {"provider": "beacon", "price": 30, "quote": {"price": 30}}
        case "poll-until-done":
            assert system.asked()["GET /jobs/j1"] == 3
            assert outputs["done"]["body"] == {"rows": 3}
        case "scheduled-report":
            (told,) = system.told()
            assert told["data"] == {"by": "country", "sums": [{"country": "CH", "total": 15, "rows": 2}]}
        case "validate-and-store":
            assert outputs["stored"]["results"] == ["a", "b", "c"]
            assert system.told("/records/b") == [{"id": "b", "amount": 5}]
        case "reserve-charge-confirm":
            assert system.told("/bookings") == [{"reservation": "r 1", "charge": "c1"}]
            assert not any(one.method == "DELETE" for one in system.target.asked)
        case "webhook-relay":
            assert outputs["told"]["results"] == ["crm", "billing"]
            for path in ("/crm", "/billing"):
                assert [one["data"] for one in system.told(path)] == [{"id": 7}]
        case _:
            raise AssertionError(f"{name}: say what it is to do")


async def test_what_was_reserved_and_charged_is_undone_in_reverse_order(system: System) -> None:
    system.outside.refuses = {"/bookings"}
    saga = await run(system, "reserve-charge-confirm")
    assert saga["status"] == "compensated"
    undone = [one.path for one in system.target.asked if one.method == "DELETE"]
    assert undone == ["/charges/c1", "/reservations/r%201"]


async def test_providers_that_say_no_are_passed_over(system: System) -> None:
    await system.make("best-quote")
    system.outside.refuses = {"/beacon"}
    assert (await system.ended(await system.start("best-quote")))["status"] == "completed"
    system.outside.refuses = {"/alpine", "/beacon"}
    assert (await system.ended(await system.start("best-quote")))["status"] == "completed"
    one, none = (told["data"] for told in system.told())
    assert (one["best"]["provider"], one["declined"]) == ("alpine", 1)
    assert (none["best"], none["declined"]) == (None, 2)


async def test_nothing_is_stored_of_a_list_that_is_wrong(system: System) -> None:
    await system.make("validate-and-store", record_schema={"type": "object", "required": ["colour"]})
    saga = await system.ended(await system.start("validate-and-store"))
    assert (saga["status"], saga["abort"]["step"]) == ("compensated", "valid")
    assert not any(one.method == "PUT" for one in system.target.asked)


async def test_templates_are_listed_and_shown(system: System) -> None:
    first = (await system.api.get(TEMPLATES, params={"limit": 5})).json()
    rest = (await system.api.get(TEMPLATES, params={"limit": 5, "cursor": first["next_cursor"]})).json()
    assert [one["name"] for one in first["items"] + rest["items"]] == NAMES
    only = (await system.api.get(TEMPLATES, params={"category": "etl"})).json()["items"]
    assert [one["name"] for one in only] == ["validate-and-store"]
    shown = (await system.api.get(f"{TEMPLATES}/best-quote")).json()
    assert shown["parameters"]["required"] == ["providers", "notify_url", "notify_secret"]
    missing = await system.api.get(f"{TEMPLATES}/nothing")
    assert (missing.status_code, "best-quote" in missing.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("fields", "status", "pointers"),
    [
        ({"parameters": {"method": "GET", "attempts": 1}}, 422, {"", "/method", "/attempts"}),
        ({"parameters": {"surprise": 1}}, 422, {""}),
        ({"name": "a.b"}, 422, {"/body/name"}),
        ({"name": "import"}, 422, {"/name"}),
        ({"colour": "red"}, 422, {"/body/colour"}),
        ({"by": ""}, 422, {"/body/by"}),
        ({"parameters": {"url": "no url"}}, 422, {"/workflow/steps/0/input/url"}),
        ({"name": "taken"}, 409, set()),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_said_with_pointers(
    system: System, fields: dict[str, Any], status: int, pointers: set[str]
) -> None:
    given, _ = system.example("request-and-notify")
    path = f"{TEMPLATES}/request-and-notify/instantiate"
    assert (
        await system.api.post(path, json={"name": "taken", "parameters": given, **ADA})
    ).status_code == 201
    parameters = fields.get("parameters", {})
    # Wrong parameters only, or the good ones with one changed.
    parameters = given | parameters if "url" in parameters or not parameters else parameters
    answer = await system.api.post(path, json={"name": "mine", **ADA, **fields, "parameters": parameters})
    assert answer.status_code == status, answer.text
    found = {error["pointer"] for error in answer.json()["errors"]}
    assert {pointer.removeprefix("/parameters") for pointer in found} == pointers
