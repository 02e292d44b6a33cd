"""What the log tells of a workflow's executions in sum: outcomes, durations, retries, undone steps; by version.

Percentiles (nearest rank) are found by the database, so that an answer is as large as the workflow, not as its past.
A question reads the window's sagas and their steps twice each: to count them, and to put them in order.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from saga.executions import ExecutionStatus, execution_status
from saga.log.tables import SagaRow, StepRow, table_of
from saga.state import SagaStatus, StepStatus

PERCENTS = (50, 95, 99)
ALL = ""
"""Stands for all versions together"""

_SAGAS, _STEPS = table_of(SagaRow), table_of(StepRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The sagas of a name that were started in this time; the end is not in it."""

    name: str
    started_after: datetime | None = None
    started_before: datetime | None = None

    def sagas(self, query: Select[Any]) -> Select[Any]:
        """The query, of these sagas only."""
        query = query.where(_SAGAS.c.name == self.name)
        if self.started_after is not None:
            query = query.where(_SAGAS.c.started_at >= self.started_after)
        if self.started_before is not None:
            query = query.where(_SAGAS.c.started_at < self.started_before)
        return query

    def steps(self, query: Select[Any]) -> Select[Any]:
        """The query, of the steps of these sagas."""
        return self.sagas(query).join_from(_SAGAS, _STEPS, _SAGAS.c.saga_id == _STEPS.c.saga_id)


@dataclass(slots=True)
class StepFigures:
    """One step. `retries`: attempts beyond the first; `durations_ms`: by percent, of those that completed."""

    by_status: Counter[StepStatus] = field(default_factory=Counter)
    retries: int = 0
    durations_ms: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Figures:
    """One version, or all. `durations_ms`: by percent, of executions that have ended, however."""

    by_status: Counter[ExecutionStatus] = field(default_factory=Counter)
    durations_ms: dict[int, float] = field(default_factory=dict)
    steps: dict[str, StepFigures] = field(default_factory=dict)


async def figures_of(connection: AsyncConnection, window: Window) -> dict[str, Figures]:
    """By version, and under `ALL` of all together, which is there even if there are no executions."""
    found = {ALL: Figures()}
    await _count_sagas(connection, window, found)
    await _count_steps(connection, window, found)
    for row in await _in_order(connection, window.sagas, _SAGAS.c.duration_ms):
        _note(row.own_rank, row.own_total, row.duration_ms, found[row.version])
        _note(row.rank, row.total, row.duration_ms, found[ALL])
    for row in await _in_order(connection, window.steps, _STEPS.c.duration_ms, _STEPS.c.step):
        _note(row.own_rank, row.own_total, row.duration_ms, found[row.version].steps[row.step])
        _note(row.rank, row.total, row.duration_ms, found[ALL].steps[row.step])
    return found


async def _count_sagas(connection: AsyncConnection, window: Window, found: dict[str, Figures]) -> None:
    columns = (_SAGAS.c.version, _SAGAS.c.status, _SAGAS.c.abort_cause)
    query = window.sagas(select(*columns, func.count().label("sagas"))).group_by(*columns)
    for row in await connection.execute(query):
        status = execution_status(SagaStatus(row.status), row.abort_cause)
        for figures in (found.setdefault(row.version, Figures()), found[ALL]):
            figures.by_status[status] += row.sagas


async def _count_steps(connection: AsyncConnection, window: Window, found: dict[str, Figures]) -> None:
    columns = (_SAGAS.c.version, _STEPS.c.step, _STEPS.c.status)
    retries = func.sum(case((_STEPS.c.attempt > 1, _STEPS.c.attempt - 1), else_=0))
    query = window.steps(select(*columns, func.count().label("steps"), retries.label("retries")))
    for row in await connection.execute(query.group_by(*columns)):
        for figures in (found[row.version], found[ALL]):
            step = figures.steps.setdefault(row.step, StepFigures())
            step.by_status[StepStatus(row.status)] += row.steps
            step.retries += int(row.retries)


async def _in_order(
    connection: AsyncConnection,
    window: Callable[[Select[Any]], Select[Any]],
    duration: ColumnElement[float | None],
    *group: ColumnElement[str],
) -> Sequence[Row[Any]]:
    """The durations at the percents' ranks: among those of their version, and among those of all versions."""
    own, everywhere = (_SAGAS.c.version, *group), group or None
    ranked = window(
        select(
            *own,
            duration.label("duration_ms"),
            func.row_number().over(partition_by=own, order_by=duration).label("own_rank"),
            func.count().over(partition_by=own).label("own_total"),
            func.row_number().over(partition_by=everywhere, order_by=duration).label("rank"),
            func.count().over(partition_by=everywhere).label("total"),
        ).where(duration.is_not(None))
    ).subquery()
    columns = ranked.c
    at = [columns.own_rank == _rank(columns.own_total, percent) for percent in PERCENTS]
    at += [columns.rank == _rank(columns.total, percent) for percent in PERCENTS]
    return (await connection.execute(select(ranked).where(or_(*at)))).all()


def _rank(total: Any, percent: int) -> Any:
    """The nearest rank, of a number or in SQL."""
    return (total * percent + 99) // 100


def _note(rank: int, total: int, duration_ms: float, figures: Figures | StepFigures) -> None:
    for percent in PERCENTS:
        if rank == _rank(total, percent):
            figures.durations_ms[percent] = duration_ms
