"""Workflows of generic steps through the bus, real participants and real HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response
from sqlmodel import select

from contracts.definition import SagaDefinition
from contracts.directives import Directives
from contracts.facts import FactKind
from events.database import Database, make_engine
from saga.client import StartOptions
from saga.domains import domain_actions
from saga.service import ServiceSettings, serve
from saga.state import SagaStatus
from services.integrations.tables import WebhookDelivery
from tests.services.integrations.targets import Target
from tests.world import Running

QUICK = {"kind": "fixed", "max_attempts": 3, "delay_s": 0.05}
SECRET = "s3cret-token"


def workflow(*steps: dict[str, Any]) -> SagaDefinition:
    return SagaDefinition.model_validate({"name": "workflow", "steps": steps})


def step(kind: str, name: str, *after: str, input: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "action": f"integrations.{kind}",
        "after": after,
        "input": input,
        "retry": QUICK,
        **fields,
    }


@pytest.fixture
async def integrations(running: Running, target: Target) -> AsyncIterator[Running]:
    settings = ServiceSettings(data=running.data, grace_s=0)
    environment = {
        "SAGA_HTTP_ALLOW": target.place, "SAGA_SECRET_TOKEN": SECRET,
        "SAGA_SECRET_HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }  # fmt: skip
    actions = domain_actions("integrations")
    async with serve(actions, running.bus, running.definitions, settings, environment=environment):
        yield running


async def play(running: Running, definition: SagaDefinition, **input: Any) -> tuple[str, Any]:
    await running.publish(definition)
    saga_id = await running.start(definition, **input)
    return saga_id, await running.ended(definition, saga_id)


async def test_a_workflow_of_all_steps_completes_and_passes_the_other_branch_by(
    integrations: Running, target: Target
) -> None:
    async def offer(request: Any) -> Response:
        return JSONResponse({"quotes": [{"c": "a", "price": 90}, {"c": "b", "price": 40}], "auth": SECRET})

    target.then = offer
    definition = workflow(
        step("http_request", "fetch", input={
            "url": f"{target.url}/leads/{{id}}", "path": {"id": "${input.lead}"},
            "auth": {"kind": "bearer", "secret": "token"}}, compensate=False),
        step("data_transform", "best", "fetch", input={
            "data": "${steps.fetch.body.quotes}",
            "operations": [{"op": "sort", "by": ["price"]},
                           {"op": "format", "fields": {"label": "$${item.c} at $${item.price}"}},
                           {"op": "map", "to": "item.label"}]}),
        step("validation", "check", "best", input={
            "data": "${steps.best.result}", "schema": {"type": "array", "minItems": 1}}),
        step("conditional", "size", "check", input={
            "data": {"count": "${input.count:-2}"},
            "branches": [{"name": "many", "when": {"field": "/count", "is": "gt", "value": 1}}],
            "otherwise": "one"}),
        step("webhook_call", "tell_many", "size", when="steps.size.branch == 'many'", input={
            "url": f"{target.url}/hooks", "type": "quotes.found", "secrets": ["hook"],
            "data": {"text": "Best for {{lead}}: ${steps.best.result[0]}"}}),
        step("webhook_call", "tell_one", "size", when="steps.size.branch == 'one'", input={
            "url": f"{target.url}/hooks", "type": "quotes.found", "secrets": ["hook"], "data": None}),
    )  # fmt: skip
    saga_id, state = await play(integrations, definition, lead="L 7")
    assert state.status == SagaStatus.COMPLETED
    assert state.steps["tell_one"].status == "skipped"
    fetched, told = target.asked
    assert (fetched.path, fetched.headers["authorization"]) == ("/leads/L%207", f"Bearer {SECRET}")
    assert b'"text":"Best for L 7: b at 40"' in told.body
    facts = await integrations.facts(saga_id)
    assert all(SECRET not in recorded.fact.model_dump_json() for recorded in facts)


async def test_a_dry_run_looks_and_tells_nobody(integrations: Running, target: Target) -> None:
    target.answers = [JSONResponse({"n": 2})] * 2
    looks = workflow(
        step("http_request", "fetch", input={"url": f"{target.url}/leads"}, compensate=False),
        step("data_transform", "double", "fetch", input={
            "data": "${steps.fetch.body}", "operations": [{"op": "calculate", "fields": {"n": "item.n * 2"}}]}),
        step("validation", "check", "double", input={
            "data": "${steps.double.result}", "rules": [{"name": "four", "holds": "data.n == 4", "message": "no"}]}),
        step("wait", "rest", "check", input={"for_s": 3600}),
        step("webhook_call", "tell", "rest", input={
            "url": f"{target.url}/hooks", "type": "quotes.found", "secrets": ["hook"], "data": None}),
    )  # fmt: skip
    books = workflow(step("http_request", "book", input={"method": "POST", "url": f"{target.url}/bookings"}))
    books = books.model_copy(update={"name": "books"})
    ends = []
    for definition in (looks, books):
        await integrations.publish(definition)
        dry = StartOptions(directives=Directives(dry_run=True))
        saga_id = (await integrations.client.start(definition.ref, {}, dry)).saga_id
        ends.append(await integrations.ended(definition, saga_id))
    assert ends[0].status == SagaStatus.COMPLETED, ends[0].abort
    assert ends[1].steps["book"].failure is not None
    assert ends[1].steps["book"].failure["code"] == "http.not_rehearsed"
    assert [(asked.method, asked.path) for asked in target.asked] == [("GET", "/leads")]
    database = Database(make_engine(ServiceSettings(data=integrations.data).url_of("webhook_call")))
    async with database.transaction() as session:
        assert (await session.exec(select(WebhookDelivery))).all() == []
    await database.close()


async def test_what_was_requested_is_undone_when_a_later_step_fails(
    integrations: Running, target: Target
) -> None:
    target.answers = [JSONResponse({"id": "B1"}, 201)]
    definition = workflow(
        step("http_request", "book", input={
            "method": "POST", "url": f"{target.url}/bookings", "extract": {"id": "/id"},
            "undo": {"method": "DELETE", "url": f"{target.url}/bookings/$${{output.extracted.id}}"}}),
        step("validation", "check", "book", input={
            "data": {"n": "${input.n}"}, "rules": [{"name": "small", "holds": "data.n < 5", "message": "too many"}]}),
    )  # fmt: skip
    saga_id, state = await play(integrations, definition, n=9)
    assert state.status == SagaStatus.COMPENSATED
    assert [(asked.method, asked.path) for asked in target.asked] == [
        ("POST", "/bookings"),
        ("DELETE", "/bookings/B1"),
    ]
    assert target.asked[0].headers["idempotency-key"] == f"{saga_id}.book"


async def test_a_retry_waits_as_long_as_the_other_side_asks(integrations: Running, target: Target) -> None:
    target.answers = [Response(status_code=429, headers={"Retry-After": "1"}), JSONResponse({"ok": True})]
    saga_id, state = await play(
        integrations, workflow(step("http_request", "call", input={"url": target.url + "/"}))
    )
    assert state.status == SagaStatus.COMPLETED
    times = {recorded.fact.key[1]: recorded.fact for recorded in await integrations.facts(saga_id)}
    failed = times[FactKind.ATTEMPT_FAILED]
    assert failed.data["failure"]["retry_after_s"] == 1.0
    assert (times[FactKind.COMPLETED].time - failed.time).total_seconds() >= 0.9


async def test_faststream_runs_one_of_the_steps(
    running: Running, nats_url: str, namespace: str, target: Target
) -> None:
    definition = workflow(step("conditional", "choose", input={
        "data": "${input.n}", "branches": [{"name": "big", "when": "data > 4"}]}))  # fmt: skip
    await running.publish(definition)
    environment = os.environ | {
        "NATS_URL": nats_url, "SAGA_BUS_NAMESPACE": namespace, "SAGA_DATA": str(running.data),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faststream", "run", "services.integrations.steps.conditional:app",
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        saga_id = await running.start(definition, n=5)
        await running.until(definition, saga_id, lambda state: state.ended, 40)
        stated = {recorded.fact.key: recorded.fact.data for recorded in await running.facts(saga_id)}
        assert stated["choose", FactKind.COMPLETED]["output"] == {"branch": "big"}
    finally:
        process.terminate()
        await process.wait()
