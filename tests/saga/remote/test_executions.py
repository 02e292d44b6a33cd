"""Workflows run by the client: started, waited for, told; what goes wrong is an exception that says where."""

import asyncio
from typing import Any

import httpx2
import pytest

from contracts.facts import FactKind
from contracts.failure import Conflict, InvalidContract, NotFound
from contracts.pointers import Problem
from events.clock import monotonic
from saga.action import ActionContext, Refused
from saga.api.app import create_app
from saga.api.parts import Parts
from saga.api.server import serve_api
from saga.executions import ExecutionStatus
from saga.remote.client import Api, connect
from saga.remote.errors import (
    RemoteConflict,
    RemoteError,
    RemoteInvalid,
    RemoteNotFound,
    RemoteUnavailable,
    WaitTimeout,
    error_of,
)
from saga.remote.executions import ExecutionFailed
from saga.workflows.catalogue import Words
from tests.saga.workflows.documents import document, workflow
from tests.world import Number, Running, World

WORDS = Words(by="ada")
SCHEMA = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}


@pytest.fixture(autouse=True)
async def orders(parts: Parts) -> None:
    """An active workflow `orders` of two versions, the first for new executions."""
    await parts.catalogue.create(workflow(input_schema=SCHEMA), WORDS, activate=True)
    await parts.catalogue.update(workflow(source="2"), None, WORDS)


async def waits(ctx: ActionContext, command: Number) -> Number:
    return Number.model_validate(await ctx.signal())


async def refuses(ctx: ActionContext, command: Number) -> Number:
    raise Refused("t.no", "not today")


async def test_a_workflow_is_executed_and_gives_its_outputs(api: Api, running: Running, world: World) -> None:
    async with running.serving(world.action("work")):
        execution = await api.workflows["orders"].execute({"value": 5}, labels={"region": "eu"})
        assert await execution.result(timeout_s=20) == {"work": {"value": 6}}
    found = await api.executions[execution.id].get()
    assert (found.status, found.labels, found.version) == (ExecutionStatus.COMPLETED, {"region": "eu"}, "1")


async def test_what_ends_otherwise_is_an_exception_with_the_reason(
    api: Api, running: Running, world: World
) -> None:
    world.behaviours["work"] = refuses
    async with running.serving(world.action("work")):
        execution = await api.workflows["orders"].execute({"value": 5})
        with pytest.raises(ExecutionFailed, match="COMPENSATED: not today") as caught:
            await execution.result(timeout_s=20)
        assert (await execution.ended(timeout_s=1)).status == ExecutionStatus.COMPENSATED
    assert caught.value.execution.steps[0].status == "stood_down"


async def test_a_key_a_version_and_a_deadline_go_along(api: Api, running: Running, world: World) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        first = await api.workflows["orders"].execute({}, version=2, deadline_s=0.3, idempotency_key="k")
        again = await api.workflows["orders"].execute({}, version=2, idempotency_key="k")
        assert first.started is not None
        assert again.started is not None
        assert (again.id, first.started.created, again.started.created) == (first.id, True, False)
        ended = await first.ended(timeout_s=20)
    assert (ended.version, ended.abort and ended.abort["cause"]) == ("2", "deadline")


async def test_an_execution_is_signalled_and_cancelled(api: Api, running: Running, world: World) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        told = await api.workflows["orders"].execute({"value": 1})
        await told.signal("work", {"value": 40}, by="ada")
        assert await told.result(timeout_s=20) == {"work": {"value": 40}}
        cancelled = await api.workflows["orders"].execute({"value": 1})
        await running.stated(cancelled.id, ("work", FactKind.SUSPENDED))
        await cancelled.cancel(by="ada", reason="a typo")
        with pytest.raises(ExecutionFailed, match="CANCELLED: a typo"):
            await cancelled.result(timeout_s=20)
        with pytest.raises(RemoteConflict):
            await cancelled.cancel(by="ada", reason="again")


async def test_waiting_ends_when_its_time_is_over(api: Api) -> None:
    execution = await api.workflows["orders"].execute({"value": 1})
    begun = monotonic()
    with pytest.raises(WaitTimeout, match="goes on"):
        await execution.result(timeout_s=0.3)
    assert 0.3 <= monotonic() - begun < 5


async def test_waiting_survives_an_api_that_is_away_for_a_while(
    parts: Parts, running: Running, world: World
) -> None:
    async with serve_api(create_app(parts)) as url:
        port = int(url.rsplit(":", 1)[1])
        async with connect(url) as api:
            execution = await api.workflows["orders"].execute({"value": 5})
    async with connect(url) as api:
        with pytest.raises(RemoteUnavailable) as caught:
            await api.executions[execution.id].get()
        assert (caught.value.status, caught.value.code) == (0, "api.unreachable")
        result = asyncio.create_task(api.executions[execution.id].result(timeout_s=30))
        async with running.serving(world.action("work")):
            await running.stated(execution.id, ("work", FactKind.COMPLETED))
        async with serve_api(create_app(parts), port=port):
            assert await result == {"work": {"value": 6}}


async def test_all_pages_are_read(api: Api, parts: Parts) -> None:
    started = [(await api.workflows["orders"].execute({"value": number})).id for number in range(60)]
    other = await api.workflows["orders"].execute({}, version=2, labels={"region": "us"})
    await parts.log.caught_up()
    found = [one.execution_id async for one in api.executions.all(workflow="orders", version="1")]
    assert found == started[::-1]
    running = api.executions.all(status=[ExecutionStatus.RUNNING], labels={"region": "us"})
    assert [one.execution_id async for one in running] == [other.id]
    assert [one async for one in api.executions[other.id].children()] == []


@pytest.mark.parametrize(
    ("name", "input", "kind", "base", "code"),
    [
        ("nowhere", {}, RemoteNotFound, NotFound, "not_found"),
        ("orders", {"value": "x"}, RemoteInvalid, InvalidContract, "saga.input_invalid"),
        ("a b?", {}, RemoteInvalid, InvalidContract, "request.invalid"),
    ],
)
async def test_a_problem_is_an_exception_of_its_kind(
    api: Api, name: str, input: Any, kind: type[RemoteError], base: type[Exception], code: str
) -> None:
    with pytest.raises(kind) as caught:
        await api.workflows[name].execute(input)
    assert isinstance(caught.value, base)
    assert caught.value.code == code


async def test_an_exception_says_where_the_mistake_is(api: Api) -> None:
    with pytest.raises(RemoteInvalid) as caught:
        await api.workflows["orders"].execute({"value": "x"})
    (error,) = caught.value.errors
    assert isinstance(error, Problem)
    assert (caught.value.status, error.pointer) == (422, "/value")
    assert error.detail in str(caught.value)


async def test_a_workflow_that_is_not_kept_is_run_and_found_while_it_runs(
    api: Api, parts: Parts, running: Running, world: World
) -> None:
    world.behaviours["work"] = waits
    async with running.serving(world.action("work")):
        execution = await api.orchestrations.run(document("mine"), {"value": 1}, idempotency_key="k")
        await running.stated(execution.id, ("work", FactKind.SUSPENDED))
        await parts.log.caught_up()
        assert [one.execution_id async for one in api.orchestrations.active()] == [execution.id]
        assert (await api.orchestrations.get(execution.id)).input == {"value": 1}
        await execution.signal("work", {"value": 3}, by="ada")
        assert await execution.result(timeout_s=20) == {"work": {"value": 3}}
        with pytest.raises(RemoteNotFound):
            await api.orchestrations.get(execution.id)
    with pytest.raises(RemoteConflict) as caught:
        await api.orchestrations.run(document("another", "7"), {"value": 1}, idempotency_key="k")
    assert isinstance(caught.value, Conflict)


async def test_metrics_and_health_are_typed(api: Api, parts: Parts, running: Running, world: World) -> None:
    async with running.serving(world.action("work")):
        execution = await api.workflows["orders"].execute({"value": 5})
        await execution.result(timeout_s=20)
        metrics = await api.workflows["orders"].metrics(started_before=(await execution.get()).updated_at)
        assert (metrics.total.executions, metrics.versions[0].success_rate) == (1, 1.0)
        health = await api.health()
    assert [one.name for one in health.participants] == ["test-work"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (502, "<html>", RemoteUnavailable, "http.502"),
        (404, '{"error": "nothing here"}', RemoteNotFound, "http.404"),
        (409, "[]", RemoteConflict, "http.409"),
        (401, "", RemoteError, "http.401"),
    ],
)
def test_what_is_no_problem_is_an_error_by_its_status(
    status: int, body: str, kind: type[RemoteError], code: str
) -> None:
    error = error_of(httpx2.Response(status, text=body))
    assert (type(error), error.code, error.errors) == (kind, code, ())
