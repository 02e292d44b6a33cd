"""The history of a session: every execution of the sagas that work in it.

It is read from the guard, which has one row for every step of a saga, written in one transaction with the step's
effect. So nothing is missing that was done, and nothing stands there that was not.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, func, select, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefile_records import Execution
from events.inbox import GUARD
from services.casefiles.tables import SessionUse

_STATES: dict[str, Literal["under_way", "done", "refused", "undone", "kept"]] = {
    "intent": "under_way",
    "shared": "under_way",
    "undoing": "under_way",
    "effect": "done",
    "refusal": "refused",
    "undone": "undone",
    "kept": "kept",
}


async def executions(
    session: AsyncSession, session_id: str, place: tuple[datetime, str, str] | None, limit: int
) -> list[Execution]:
    """What was done in a session, newest first, after a place."""
    connection = await session.connection()
    return [_told(row) for row in await connection.execute(_query(session_id, place, limit))]


def _query(session_id: str, place: tuple[datetime, str, str] | None, limit: int) -> Select[Any]:
    uses = (
        select(col(SessionUse.saga_id), func.min(col(SessionUse.definition)).label("definition"))
        .where(col(SessionUse.session_id) == session_id)
        .group_by(col(SessionUse.saga_id))
        .subquery()
    )
    order: Sequence[Any] = (GUARD.c.at, GUARD.c.saga_id, GUARD.c.step)
    query = select(GUARD, uses.c.definition).join(uses, uses.c.saga_id == GUARD.c.saga_id)
    if place is not None:
        query = query.where(tuple_(*order) < place)
    return query.order_by(*(column.desc() for column in order)).limit(limit)


def _told(row: Row[Any]) -> Execution:
    # SQLite keeps no zone; what is kept is UTC.
    at = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)
    failure = row.failure if row.state == "refusal" else {}
    return Execution(
        saga_id=row.saga_id,
        definition=row.definition,
        step=row.step,
        state=_STATES[row.state],
        at=at,
        code=failure.get("code", ""),
        message=failure.get("message", ""),
    )
