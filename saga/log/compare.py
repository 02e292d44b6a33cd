"""Two logs, row by row: what the one says of a saga, its steps, labels and facts, against the other.

A log may have heard more than the other: a saga of which one knows facts that the other has not applied yet
(by their positions) is passed over, and counted.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events.database import Database
from saga.log.tables import FactRow, LabelRow, PositionRow, SagaRow, StepRow, table_of

_SAGAS = table_of(SagaRow)
_OTHERS = tuple(map(table_of, (StepRow, LabelRow, FactRow)))
_PAGE = 400
_SHOWN = 1000
_MISSING = "no row"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not the same. `row` is the row's key beside the saga's id."""

    saga_id: str
    table: str
    row: str
    column: str
    said: str
    should: str


@dataclass(slots=True)
class Comparison:
    """What a comparison found; of the differences the first thousand are kept. `passed_over`: moved on meanwhile."""

    sagas: int = 0
    rows: int = 0
    passed_over: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)

    def differ(self, difference: Difference) -> None:
        self.different += 1
        if len(self.differences) < _SHOWN:
            self.differences.append(difference)


type _Rows = dict[tuple[Any, ...], Mapping[str, Any]]


async def compare(log: Database, true: Database) -> Comparison:
    """Every row of `log` against the same row of `true`, and the other way round."""
    found = Comparison()
    async with log.reading() as one, true.reading() as other:
        heard = _Heard(await _positions(one), await _positions(other))
        async for saga_ids in _pages(one):
            await _compare_page(one, other, saga_ids, heard, found)
        async for saga_ids in _pages(other):
            known = await _rows(one, _SAGAS, saga_ids)
            unknown = [saga_id for saga_id in saga_ids if (saga_id,) not in known]
            await _compare_page(one, other, unknown, heard, found)
    return found


@dataclass(frozen=True, slots=True)
class _Heard:
    """How far each of the two logs has heard each partition."""

    log: Mapping[int, int]
    true: Mapping[int, int]

    def by_both(self, *rows: Mapping[str, Any] | None) -> bool:
        """Whether both could know all that one of them says of a saga."""
        return all(
            row["sequence"] <= min(self.log.get(row["partition"], 0), self.true.get(row["partition"], 0))
            for row in rows
            if row is not None
        )


async def _positions(connection: AsyncConnection) -> dict[int, int]:
    rows = await connection.execute(select(table_of(PositionRow)))
    return {row.partition: row.sequence for row in rows}


async def _pages(connection: AsyncConnection) -> AsyncIterator[list[str]]:
    after = ""
    while True:
        query = select(_SAGAS.c.saga_id).where(_SAGAS.c.saga_id > after).order_by(_SAGAS.c.saga_id)
        page = list((await connection.execute(query.limit(_PAGE))).scalars())
        if not page:
            return
        yield page
        after = page[-1]


async def _compare_page(
    one: AsyncConnection, other: AsyncConnection, saga_ids: Collection[str], heard: _Heard, found: Comparison
) -> None:
    if not saga_ids:
        return
    said, true = await _rows(one, _SAGAS, saga_ids), await _rows(other, _SAGAS, saga_ids)
    settled = [saga_id for saga_id in saga_ids if heard.by_both(said.get((saga_id,)), true.get((saga_id,)))]
    found.sagas += len(settled)
    found.passed_over += len(saga_ids) - len(settled)
    judged = {(saga_id,) for saga_id in settled}
    _compare_rows(_SAGAS, _only(said, judged), _only(true, judged), found)
    for table in _OTHERS:
        _compare_rows(table, await _rows(one, table, settled), await _rows(other, table, settled), found)


def _only(rows: _Rows, keys: set[tuple[str]]) -> _Rows:
    return {key: row for key, row in rows.items() if key in keys}


async def _rows(connection: AsyncConnection, table: Table, saga_ids: Collection[str]) -> _Rows:
    rows = await connection.execute(select(table).where(table.c.saga_id.in_(saga_ids)))
    keys = [column.name for column in table.primary_key]
    return {tuple(row._mapping[key] for key in keys): dict(row._mapping) for row in rows}


def _compare_rows(table: Table, said: _Rows, true: _Rows, found: Comparison) -> None:
    for key in sorted(said.keys() | true.keys()):
        found.rows += 1
        one, other = said.get(key), true.get(key)
        row = one or other
        assert row is not None, "the key is one of theirs"
        place = (
            str(row["saga_id"]),
            table.name,
            " ".join(str(part) for part in key if part != row["saga_id"]),
        )
        if one is None or other is None:
            sides = (_MISSING, "a row") if one is None else ("a row", _MISSING)
            found.differ(Difference(*place, "", *sides))
            continue
        for name, value in one.items():
            if value != other[name]:
                found.differ(Difference(*place, name, str(value), str(other[name])))
