"""Questions to the log. Every answer is one consistent reading and tells up to which fact it knows."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.children import PARENT
from contracts.facts import Fact, FactKey, Recorded
from contracts.failure import NotFound
from events.database import Database
from saga.cursors import fingerprint, read_moment, write_cursor
from saga.executions import CANCEL, TURNED_ROUND, ExecutionStatus
from saga.log.metrics import Figures, Window, figures_of
from saga.log.project import stored_facts
from saga.log.tables import FactRow, LabelRow, PositionRow, RejectedRow, SagaRow, StepRow, table_of
from saga.state import ENDED, SagaStatus

_SAGAS, _STEPS, _LABELS, _FACTS = map(table_of, (SagaRow, StepRow, LabelRow, FactRow))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which sagas. Empty fields filter nothing; `query` is the beginning of a saga or correlation id.

    `without_children`: none that a step of another saga has started. `failure_code`, `failure_step`: a step of that
    name whose last failure has that code.
    """

    status: tuple[str, ...] = ()
    executions: tuple[ExecutionStatus, ...] = ()
    without_children: bool = False
    name: str | None = None
    version: str | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    correlation_id: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    query: str | None = None
    failure_code: str | None = None
    failure_step: str | None = None

    def fingerprint(self) -> str:
        return fingerprint(self)


@dataclass(frozen=True, slots=True)
class Page:
    """Sagas, newest first. `next_cursor` is None on the last page."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    as_of_sequence: int


@dataclass(frozen=True, slots=True)
class SagaView:
    """One saga with its steps, in the order of its definition's facts, and its labels."""

    saga: dict[str, Any]
    steps: list[dict[str, Any]]
    labels: dict[str, str]
    as_of_sequence: int


@dataclass(slots=True)
class Statistics:
    """Of one definition: how many sagas by status, and the durations of those that ended, in milliseconds."""

    name: str
    by_status: dict[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None


class Queries:
    """Questions over one log database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Filter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """A page of sagas. Raises InvalidContract if the cursor is not one of this filter."""
        query = _filtered(select(_SAGAS), wanted)
        if cursor is not None:
            started_at, saga_id = read_moment(cursor, wanted.fingerprint())
            query = query.where(tuple_(_SAGAS.c.started_at, _SAGAS.c.saga_id) < (started_at, saga_id))
        query = query.order_by(_SAGAS.c.started_at.desc(), _SAGAS.c.saga_id.desc()).limit(limit + 1)
        async with self._database.reading() as connection:
            rows = [dict(row._mapping) for row in await connection.execute(query)]
            as_of = await _applied(connection)
        page = rows[:limit]
        more = len(rows) > limit
        return Page(page, _write_cursor(page[-1], wanted) if more else None, as_of)

    async def silent(self, before: datetime, limit: int) -> list[dict[str, Any]]:
        """Sagas under way of which nothing was heard since `before`, the longest silent first."""
        query = (
            select(_SAGAS)
            .where(_SAGAS.c.status.not_in([status.value for status in ENDED]), _SAGAS.c.updated_at < before)
            .order_by(_SAGAS.c.updated_at, _SAGAS.c.saga_id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]

    async def count(self, wanted: Filter) -> int:
        async with self._database.reading() as connection:
            query = _filtered(select(func.count()).select_from(_SAGAS), wanted)
            return int((await connection.execute(query)).scalar_one())

    async def get(self, saga_id: str) -> SagaView:
        """One saga. Raises NotFound."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(_SAGAS).where(_SAGAS.c.saga_id == saga_id))).one_or_none()
            if row is None:
                raise NotFound(f"no saga {saga_id}")
            steps = await connection.execute(select(_STEPS).where(_STEPS.c.saga_id == saga_id))
            labels = await connection.execute(select(_LABELS).where(_LABELS.c.saga_id == saga_id))
            return SagaView(
                dict(row._mapping),
                [dict(step._mapping) for step in steps],
                {label.name: label.value for label in labels},
                await _applied(connection),
            )

    async def facts(self, saga_id: str) -> list[Recorded]:
        """A saga's facts in stream order. Raises NotFound."""
        async with self._database.reading() as connection:
            facts = await stored_facts(connection, saga_id)
        if not facts:
            raise NotFound(f"no saga {saga_id}")
        return facts

    async def fact(self, saga_id: str, key: FactKey) -> Fact | None:
        """The first fact of a kind that a saga has stated."""
        query = (
            select(_FACTS.c.envelope)
            .where(_FACTS.c.saga_id == saga_id, _FACTS.c.step == key[0], _FACTS.c.kind == key[1])
            .order_by(_FACTS.c.sequence)
            .limit(1)
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        return Fact.decode(found.encode()) if found else None

    async def statistics(self, name: str | None = None) -> list[Statistics]:
        """Per definition: counts by status, and durations of ended sagas."""
        condition = _SAGAS.c.name == name if name else _SAGAS.c.name.is_not(None)
        async with self._database.reading() as connection:
            counts = await connection.execute(
                select(_SAGAS.c.name, _SAGAS.c.status, func.count())
                .where(condition)
                .group_by(_SAGAS.c.name, _SAGAS.c.status)
            )
            found: dict[str, Statistics] = {}
            for row in counts:
                statistics = found.setdefault(row[0], Statistics(row[0]))
                statistics.by_status[row[1]] = row[2]
            durations: dict[str, list[float]] = defaultdict(list)
            ended = select(_SAGAS.c.name, _SAGAS.c.duration_ms).where(
                condition, _SAGAS.c.duration_ms.is_not(None)
            )
            for row in await connection.execute(ended.order_by(_SAGAS.c.duration_ms)):
                durations[row[0]].append(row[1])
        for key, values in durations.items():
            found[key].p50_ms, found[key].p99_ms = percentile(values, 0.5), percentile(values, 0.99)
        return [found[key] for key in sorted(found)]

    async def figures(self, window: Window) -> tuple[dict[str, Figures], int]:
        """As `figures_of`, and up to which fact that is known."""
        async with self._database.reading() as connection:
            return await figures_of(connection, window), await _applied(connection)

    async def rejected(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest messages that the log could not apply."""
        table = table_of(RejectedRow)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table).order_by(table.c.sequence.desc()).limit(limit))
            return [dict(row._mapping) for row in rows]

    async def applied_sequence(self) -> int:
        async with self._database.reading() as connection:
            return await _applied(connection)


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


async def _applied(connection: AsyncConnection) -> int:
    positions = table_of(PositionRow)
    return int(
        (await connection.execute(select(func.coalesce(func.sum(positions.c.sequence), 0)))).scalar_one()
    )


def _filtered(query: Select[Any], wanted: Filter) -> Select[Any]:
    conditions = [
        _SAGAS.c.status.in_(wanted.status) if wanted.status else None,
        _SAGAS.c.name == wanted.name if wanted.name else None,
        _SAGAS.c.version == wanted.version if wanted.version else None,
        _SAGAS.c.started_at >= wanted.started_after if wanted.started_after else None,
        _SAGAS.c.started_at < wanted.started_before if wanted.started_before else None,
        _SAGAS.c.correlation_id == wanted.correlation_id if wanted.correlation_id else None,
        or_(
            _SAGAS.c.saga_id.startswith(wanted.query, autoescape=True),
            _SAGAS.c.correlation_id.startswith(wanted.query, autoescape=True),
        )
        if wanted.query
        else None,
    ]
    if wanted.executions:
        conditions.append(or_(*map(_is_execution, wanted.executions)))
    if wanted.without_children:
        conditions.append(
            ~select(_LABELS).where(_LABELS.c.saga_id == _SAGAS.c.saga_id, _LABELS.c.name == PARENT).exists()
        )
    if wanted.failure_code or wanted.failure_step:
        conditions.append(_failed(wanted.failure_code, wanted.failure_step))
    for name, value in wanted.labels:
        labelled = select(_LABELS.c.saga_id).where(and_(_LABELS.c.name == name, _LABELS.c.value == value))
        conditions.append(_SAGAS.c.saga_id.in_(labelled))
    return query.where(*(condition for condition in conditions if condition is not None))


def _failed(code: str | None, step: str | None) -> ColumnElement[bool]:
    # Asked saga by saga, so that a page of many does not look at the steps of all.
    failed = select(_STEPS).where(_STEPS.c.saga_id == _SAGAS.c.saga_id, _STEPS.c.failure.is_not(None))
    if code:
        failed = failed.where(_STEPS.c.failure_code == code)
    if step:
        failed = failed.where(_STEPS.c.step == step)
    return failed.exists()


def _is_execution(status: ExecutionStatus) -> ColumnElement[bool]:
    """The sagas whose execution is of that status, as `execution_status` tells it of one."""
    state, cancelled = _SAGAS.c.status, func.coalesce(_SAGAS.c.abort_cause, "") == CANCEL
    match status:
        case ExecutionStatus.PENDING:
            return false()
        case ExecutionStatus.RUNNING:
            return state.not_in([ended.value for ended in ENDED])
        case ExecutionStatus.COMPLETED:
            return state == SagaStatus.COMPLETED.value
        case ExecutionStatus.FAILED:
            return and_(state == SagaStatus.FAILED.value, ~cancelled)
        case ExecutionStatus.COMPENSATED:
            return and_(state == SagaStatus.COMPENSATED.value, ~cancelled)
        case ExecutionStatus.CANCELLED:
            return and_(state.in_([ended.value for ended in TURNED_ROUND]), cancelled)


def _write_cursor(row: dict[str, Any], wanted: Filter) -> str:
    return write_cursor([row["started_at"].isoformat(), row["saga_id"]], wanted.fingerprint())
