"""Figures of a workflow, on both databases, against sums made by hand."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from contracts.ids import new_saga_id
from events.database import Database
from saga.executions import ExecutionStatus
from saga.log.metrics import ALL, PERCENTS, Figures, Window
from saga.log.queries import Queries
from saga.log.store import open_log
from saga.log.tables import SagaRow, StepRow, table_of
from tests.saga.log.test_projector import BEGIN


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[Database]:
    async with open_log(database_url) as database:
        yield database


def saga_row(
    version: str, minute: int, status: str, duration_ms: float | None, **more: Any
) -> dict[str, Any]:
    at = BEGIN + timedelta(minutes=minute)
    return {
        "saga_id": new_saga_id(), "name": "orders", "version": version, "status": status, "partition": 0,
        "sequence": 1, "correlation_id": "c", "started_at": at, "updated_at": at, "duration_ms": duration_ms,
        "abort_cause": None,
    } | more  # fmt: skip


def step_row(saga: dict[str, Any], step: str, status: str, attempt: int, ms: float | None) -> dict[str, Any]:
    return {
        "saga_id": saga["saga_id"], "step": step, "status": status, "attempt": attempt, "opened": True,
        "sequence": 1, "duration_ms": ms,
    }  # fmt: skip


async def keep(log: Database, sagas: list[dict[str, Any]], steps: list[dict[str, Any]]) -> None:
    async with log.engine.begin() as connection:
        await connection.execute(insert(table_of(SagaRow)), sagas)
        if steps:
            await connection.execute(insert(table_of(StepRow)), steps)


async def figures(log: Database, **window: Any) -> dict[str, Figures]:
    return (await Queries(log).figures(Window(name="orders", **window)))[0]


async def test_outcomes_retries_and_undone_steps_are_counted_by_version(log: Database) -> None:
    one = saga_row("1", 0, "completed", 10.0)
    two = saga_row("1", 1, "compensated", 30.0, abort_cause="step")
    three = saga_row("2", 2, "compensated", 20.0, abort_cause="cancel")
    four = saga_row("2", 3, "waiting", None, abort_cause="step")
    other = saga_row("1", 1, "completed", 99.0, name="others")
    steps = [
        step_row(one, "work", "completed", 3, 5.0), step_row(two, "work", "compensated", 1, 7.0),
        step_row(three, "work", "compensated", 2, 6.0), step_row(four, "work", "compensation_failed", 0, None),
        step_row(other, "work", "completed", 9, 1.0), step_row(two, "told", "failed", 2, None),
    ]  # fmt: skip
    await keep(log, [one, two, three, four, other], steps)
    found = await figures(log)
    assert found.keys() == {ALL, "1", "2"}
    completed, compensated, cancelled, running = map(
        ExecutionStatus, ("COMPLETED", "COMPENSATED", "CANCELLED", "RUNNING")
    )
    assert found["1"].by_status == {completed: 1, compensated: 1}
    assert found["2"].by_status == {cancelled: 1, running: 1}
    assert found[ALL].by_status == {completed: 1, compensated: 1, cancelled: 1, running: 1}
    assert (found["1"].steps["work"].retries, found["1"].steps["told"].retries) == (2, 1)
    assert found[ALL].steps["work"].retries == 3
    assert found[ALL].steps["work"].by_status == {"completed": 1, "compensated": 2, "compensation_failed": 1}
    assert (found["1"].durations_ms[50], found["2"].durations_ms, found[ALL].durations_ms[50]) == (
        10.0, dict.fromkeys(PERCENTS, 20.0), 20.0,
    )  # fmt: skip
    assert found[ALL].steps["work"].durations_ms[50] == 6.0
    assert found["1"].steps["told"].durations_ms == {}


async def test_a_window_begins_with_its_first_instant_and_ends_before_its_last(log: Database) -> None:
    await keep(log, [saga_row("1", minute, "completed", float(minute)) for minute in range(10)], [])
    from_three = {"started_after": BEGIN + timedelta(minutes=3)}
    assert (await figures(log, **from_three))["1"].by_status.total() == 7
    until_five = {"started_before": BEGIN + timedelta(minutes=5)}
    found = (await figures(log, **from_three, **until_five))["1"]
    assert (found.by_status.total(), found.durations_ms[99]) == (2, 4.0)


async def test_a_workflow_that_never_ran_has_figures_too(log: Database) -> None:
    assert await figures(log) == {ALL: Figures()}


def nearest(durations: list[float], percent: int) -> float:
    """The smallest of them that at least so many of a hundred do not exceed."""
    return next(
        one for one in sorted(durations) if sum(x <= one for x in durations) * 100 >= percent * len(durations)
    )


TOLD = st.tuples(st.sampled_from("12"), st.sampled_from("ab"), st.integers(0, 50))


@given(told=st.lists(TOLD, min_size=1, max_size=60))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_percentiles_are_nearest_ranks_of_all_and_of_each_version(
    told: list[tuple[str, str, int]], log: Database
) -> None:
    name = f"w{new_saga_id()}"
    sagas = [saga_row(version, 0, "completed", float(ms), name=name) for version, _, ms in told]
    steps = [
        step_row(saga, step, "completed", 1, ms + 0.5)
        for saga, (_, step, ms) in zip(sagas, told, strict=True)
    ]
    await keep(log, sagas, steps)
    found = (await Queries(log).figures(Window(name=name)))[0]
    for version, figure in found.items():
        these = [one for one in told if version in (ALL, one[0])]
        for percent in PERCENTS:
            assert figure.durations_ms[percent] == nearest([float(ms) for _, _, ms in these], percent)
            for step, step_figure in figure.steps.items():
                expected = nearest([ms + 0.5 for _, name, ms in these if name == step], percent)
                assert step_figure.durations_ms[percent] == expected
