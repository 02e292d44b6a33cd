"""The metrics of a workflow over real HTTP, of executions that really ran."""

import httpx2
import pytest

from contracts.catalogue import Share
from contracts.definition import SagaDefinition, Step
from saga.action import ActionContext, Unavailable
from saga.api.parts import Parts
from saga.workflows import changes
from saga.workflows.catalogue import Words
from saga.workflows.checking import read_workflow
from tests.saga.workflows.documents import document, workflow
from tests.world import Number, Running, World

WORDS = Words(by="ada")
METRICS = "/api/v1/workflows/orders/metrics"


async def ended(running: Running, ref: str, saga_id: str) -> None:
    definition = running.definitions.get(ref)
    assert definition is not None
    assert (await running.ended(definition, saga_id)).ended


async def test_versions_of_a_split_are_told_apart(
    api: httpx2.AsyncClient, parts: Parts, running: Running, world: World
) -> None:
    async def second_time(ctx: ActionContext, command: Number) -> Number:
        if ctx.attempt == 1:
            raise Unavailable("t.busy", "busy")
        return command

    async def never(ctx: ActionContext, command: Number) -> Number:
        raise Unavailable("t.busy", "busy")

    # Given a workflow whose second version tries twice, and both get executions
    await parts.catalogue.create(workflow(), WORDS, activate=True)
    twice = document()
    twice["steps"][0]["retry"] = {"kind": "fixed", "max_attempts": 2, "delay_s": 0.01}
    await parts.catalogue.update(read_workflow(twice), None, WORDS)
    shares = (Share(version=1, weight=30), Share(version=2, weight=70))
    await parts.catalogue.change("orders", None, "split", WORDS, lambda one: changes.split(one, shares))
    async with running.serving(world.action("work")):
        for version, behaviour in ((1, None), (2, second_time), (2, never)):
            if behaviour is not None:
                world.behaviours["work"] = behaviour
            started = await parts.catalogue.execute(f"orders@{version}", {"value": 1})
            await ended(running, started.definition, started.saga_id)
        await parts.log.caught_up()
    answer = await api.get(METRICS)
    found = answer.json()
    first, second = found["versions"]
    assert [(one["version"], one["weight"], one["executions"]) for one in (first, second)] == [
        ("1", 30, 1), ("2", 70, 2),
    ]  # fmt: skip
    assert (first["success_rate"], second["success_rate"]) == (1.0, 0.5)
    assert (first["retries"], second["retries"], second["compensations"]) == (0, 2, 1)
    assert found["total"]["by_status"] == {
        "RUNNING": 0, "COMPLETED": 2, "FAILED": 0, "CANCELLED": 0, "COMPENSATED": 1,
    }  # fmt: skip
    (step,) = second["steps"]
    assert (step["name"], step["by_status"]) == ("work", {"completed": 1, "compensated": 1})
    assert step["duration_ms"]["p50"] is not None
    assert 0 < second["duration_ms"]["p50"] <= second["duration_ms"]["p99"]
    assert answer.headers["Saga-Log-Sequence"] == str(found["as_of_sequence"])


async def test_a_window_and_a_workflow_that_never_ran(api: httpx2.AsyncClient, parts: Parts) -> None:
    await parts.catalogue.create(workflow(), WORDS, activate=True)
    found = (await api.get(METRICS, params={"started_after": "2026-01-01T00:00:00Z"})).json()
    assert (found["total"]["executions"], found["total"]["success_rate"]) == (0, None)
    assert [(one["version"], one["weight"], one["executions"]) for one in found["versions"]] == [
        ("1", 100, 0)
    ]


@pytest.mark.parametrize(
    ("query", "status"), [("?started_after=2026-01-01T00:00:00", 422), ("?colour=red", 422)]
)
async def test_wrong_windows_are_refused(
    api: httpx2.AsyncClient, parts: Parts, query: str, status: int
) -> None:
    await parts.catalogue.create(workflow(), WORDS)
    assert (await api.get(METRICS + query)).status_code == status


async def test_only_workflows_have_metrics(api: httpx2.AsyncClient, running: Running) -> None:
    await running.publish(SagaDefinition(name="orders", steps=(Step(name="a", action="test.a"),)))
    assert (await api.get(METRICS)).status_code == 404
