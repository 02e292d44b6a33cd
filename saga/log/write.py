"""What a batch of facts changes in the log's tables, and writing it.

Every fact costs a few rows, so the rows go to the driver as tuples: SQLAlchemy writes the statement once per
table and converts the values, but does not build a statement's parameters anew for every row.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, get_args

from sqlalchemy import Dialect, Table, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Fact, SagaAborted
from contracts.failure import InvalidContract
from events.columns import UtcText, utc_text
from saga.log.tables import (
    MAX_CODE,
    FactRow,
    LabelRow,
    PositionRow,
    RejectedRow,
    SagaRow,
    StepRow,
    table_of,
)
from saga.state import SagaState

_VALUES = ("22", "54")
"""Classes of SQLSTATE: data exceptions, and limits of the program"""
_CAUSES = frozenset(get_args(SagaAborted.model_fields["cause"].annotation))


@dataclass(slots=True)
class Followed:
    """A saga that has not ended: its definition, state, and the start's data."""

    definition: SagaDefinition
    state: SagaState
    started: Fact


@dataclass(slots=True)
class Batch:
    """What one batch changes."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    touched: dict[str, Followed] = field(default_factory=dict)
    steps: dict[tuple[str, str], None] = field(default_factory=dict)
    stated: list[str] = field(default_factory=list)


type Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Statement:
    """The SQL of an insert (or upsert) into one table, how each of its values is converted, and those that a
    row does not bring."""

    sql: str
    columns: tuple[tuple[str, Convert], ...]
    defaults: dict[str, Any]

    async def run(self, connection: AsyncConnection, rows: Iterable[dict[str, Any]]) -> None:
        if self.defaults:
            rows = [{**self.defaults, **row} for row in rows]
        names = [name for name, _ in self.columns]
        converts = [(at, convert) for at, (_, convert) in enumerate(self.columns) if convert is not None]
        values = [_converted([row[name] for name in names], converts) for row in rows]
        if values:
            await connection.exec_driver_sql(self.sql, values)


def _converted(values: list[Any], converts: Iterable[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    for at, convert in converts:
        if values[at] is not None:
            values[at] = convert(values[at])
    return tuple(values)


class Statements:
    """The statements of one database's dialect, each written on first use."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._written: dict[tuple[str, tuple[str, ...]], Statement] = {}

    def of(self, table: Table, columns: Iterable[str], *, upsert: bool) -> Statement:
        """Insert these columns; `upsert`: or change them where the primary key is there already."""
        names = tuple(columns)
        found = self._written.get((table.name, names))
        if found is None:
            found = self._written[table.name, names] = self._write(table, names, upsert)
        return found

    def _write(self, table: Table, names: tuple[str, ...], upsert: bool) -> Statement:
        statement: Any = insert(table)
        if upsert:
            dialect: Any = postgresql if self._dialect.name == "postgresql" else sqlite
            statement = dialect.insert(table)
            keys = [column.name for column in table.primary_key]
            changed = {name: statement.excluded[name] for name in names if name not in keys}
            statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
        compiled = statement.compile(dialect=self._dialect, column_keys=list(names))
        order: list[str] = compiled.positiontup
        converts = [(name, self._convert(table.c[name].type)) for name in order]
        defaults = {name: _default(table, name) for name in order if name not in names}
        return Statement(str(compiled), tuple(converts), defaults)

    def _convert(self, type_: TypeEngine[Any]) -> Convert:
        if isinstance(type_, UtcText):
            return utc_text
        return type_.dialect_impl(self._dialect).bind_processor(self._dialect)


def _default(table: Table, name: str) -> Any:
    default: Any = table.c[name].default
    return default.arg


class Unstorable(InvalidContract):
    """The log's database cannot hold what a fact says, now or later."""


@contextmanager
def _storing() -> Iterator[None]:
    """Makes Unstorable of what a database or its driver says of values; whatever else they raise may pass."""
    try:
        yield
    except (OverflowError, TypeError, ValueError) as error:
        raise Unstorable("a value is none for the log's database, or too large") from error
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if not state.startswith(_VALUES):
            raise
        raise Unstorable(f"a value is none for the log's database, or too long (SQLSTATE {state})") from error


async def write(
    connection: AsyncConnection, statements: Statements, batch: Batch, partition: int, sequence: int
) -> None:
    """Write a batch, and how far the partition has been applied with it. Raises Unstorable."""

    async def put(table: Table, rows: list[dict[str, Any]], *, upsert: bool) -> None:
        if rows:
            await statements.of(table, rows[0], upsert=upsert).run(connection, rows)

    sagas = table_of(SagaRow)
    saga_rows = [_saga_row(partition, saga_id, followed) for saga_id, followed in batch.touched.items()]
    step_rows = [_step_row(batch, saga_id, step) for saga_id, step in batch.steps]
    with _storing():
        await put(table_of(FactRow), batch.facts, upsert=False)
        await put(table_of(RejectedRow), batch.rejected, upsert=False)
        await put(sagas, saga_rows, upsert=True)
        await put(table_of(StepRow), step_rows, upsert=True)
        await put(table_of(LabelRow), batch.labels, upsert=True)
        await put(table_of(PositionRow), [{"partition": partition, "sequence": sequence}], upsert=True)
    if batch.stated:
        await connection.execute(
            update(sagas).where(sagas.c.saga_id.in_(batch.stated)).values(outcome_stated=True)
        )


def _saga_row(partition: int, saga_id: str, followed: Followed) -> dict[str, Any]:
    state, started = followed.state, followed.started
    name, _, version = started.definition.partition("@")
    begun = state.started_at or started.time
    duration = (state.ended_at - begun).total_seconds() * 1000 if state.ended_at else None
    return {
        "saga_id": saga_id,
        "name": name,
        "version": version,
        "status": state.status.value,
        "partition": partition,
        "sequence": state.sequence,
        "correlation_id": started.correlationid,
        "started_at": begun,
        "updated_at": state.updated_at or begun,
        "ended_at": state.ended_at,
        "duration_ms": duration,
        "ended_sequence": state.ended_sequence,
        "input": started.data.get("input") if started.key == STARTED_KEY else None,
        "abort": state.abort,
        "abort_cause": _cause(state.abort),
    }


def _cause(abort: dict[str, Any] | None) -> str | None:
    """Why a saga was aborted; None also if the fact says something that is none of the causes there are."""
    cause = (abort or {}).get("cause")
    return cause if isinstance(cause, str) and cause in _CAUSES else None


def _step_row(batch: Batch, saga_id: str, step: str) -> dict[str, Any]:
    state = batch.touched[saga_id].state.steps[step]
    return {
        "saga_id": saga_id,
        "step": step,
        "status": state.status.value,
        "attempt": state.attempt,
        "opened": state.opened,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "closed_at": state.closed_at,
        "duration_ms": state.duration_ms,
        "failure": state.failure,
        "failure_code": _code(state.failure),
        "sequence": state.sequence,
    }


def _code(failure: dict[str, Any] | None) -> str | None:
    """The code of a failure; None also if the fact says something that is none."""
    code = (failure or {}).get("code")
    return code if isinstance(code, str) and len(code) <= MAX_CODE and "\x00" not in code else None
