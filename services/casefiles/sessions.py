"""Sessions: found or created, linked to a casefile, left again. One belongs to a user, a kind and a name.

A session lives as long as somebody uses it: the undo of its last saga removes it, unless a person has opened it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefile_records import Session
from contracts.casefiles import SessionKind
from contracts.ids import new_saga_id
from events.database import one_at_a_time
from saga.action import Refused
from services.casefiles.access import permitted
from services.casefiles.tables import CasefileRow, SessionRow, SessionUse

_UNNAMED = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSession:
    """Which session. Without a name it is the casefile's, or `default`."""

    user_id: str
    kind: SessionKind
    name: str | None = None
    casefile_id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A session. `created`: it was not there before. `linked`: only now to its casefile."""

    session: Session
    created: bool
    linked: bool


async def find_or_create(session: AsyncSession, wanted: WantedSession, now: datetime, *, kept: bool) -> Found:
    """The session that is wanted. `kept`: a person opens it.

    Raises Refused: the user may not read the casefile, or the session is linked to another.
    """
    if wanted.casefile_id is not None:
        await permitted(session, wanted.casefile_id, wanted.user_id, "read")
    name = wanted.name or wanted.casefile_id or _UNNAMED
    await one_at_a_time(session, f"session {wanted.user_id} {wanted.kind} {name}")
    query = select(SessionRow).where(
        SessionRow.user_id == wanted.user_id, SessionRow.kind == wanted.kind, SessionRow.name == name
    )
    row = (await session.exec(query.with_for_update())).one_or_none()
    created = row is None
    if row is None:
        row = SessionRow(
            session_id=new_saga_id(),
            user_id=wanted.user_id,
            kind=wanted.kind,
            name=name,
            created_at=now,
            used_at=now,
        )
        session.add(row)
    elif wanted.casefile_id is not None and row.casefile_id not in (None, wanted.casefile_id):
        raise Refused(
            "session.elsewhere", f"session {name!r} of {wanted.user_id!r} is linked to another casefile"
        )
    linked = wanted.casefile_id is not None and row.casefile_id is None
    row.casefile_id = row.casefile_id or wanted.casefile_id
    row.kept, row.used_at = row.kept or kept, now
    await session.flush()
    return Found(told(row), created=created, linked=linked)


async def leave(session: AsyncSession, saga_id: str, step: str) -> None:
    """Take back that a step has opened a session; a session that nobody uses any more is removed."""
    query = select(SessionUse).where(SessionUse.saga_id == saga_id, SessionUse.step == step)
    use = (await session.exec(query)).one_or_none()
    if use is None:
        return
    row = await _row(session, use.session_id)
    use.left = True
    await session.flush()
    staying = (SessionUse.session_id == row.session_id, ~col(SessionUse.left))
    used = (await session.exec(select(SessionUse.saga_id).where(*staying).limit(1))).first() is not None
    if not used and not row.kept:
        await session.delete(row)
    elif use.linked and not used:
        row.casefile_id = None


async def link(
    session: AsyncSession, session_id: str, casefile_id: str | None, user_id: str | None
) -> tuple[Session, str | None]:
    """Link a session to a casefile that its user may read, or to none; the session, and its casefile before.

    `user_id`: whose session it must be. Raises Refused.
    """
    row = await _row(session, session_id)
    if user_id is not None and row.user_id != user_id:
        raise unknown_session(session_id)
    if casefile_id is not None:
        await permitted(session, casefile_id, row.user_id, "read")
    before, row.casefile_id = row.casefile_id, casefile_id
    return told(row), before


async def link_back(session: AsyncSession, session_id: str, from_casefile: str, to: str | None) -> None:
    """Take a link back, if it is still as it was made; a casefile that is gone is linked to no more."""
    query = select(SessionRow).where(SessionRow.session_id == session_id).with_for_update()
    row = (await session.exec(query)).one_or_none()
    if row is None or row.casefile_id != from_casefile:
        return
    there = to is not None and await session.get(CasefileRow, to) is not None
    row.casefile_id = to if there else None


async def session_of_saga(session: AsyncSession, saga_id: str) -> Session | None:
    """The session that a saga has opened last."""
    query = (
        select(SessionRow)
        .join(SessionUse, col(SessionUse.session_id) == col(SessionRow.session_id))
        .where(SessionUse.saga_id == saga_id)
        .order_by(col(SessionUse.at).desc())
        .limit(1)
    )
    row = (await session.exec(query)).first()
    return told(row) if row else None


async def own_session(session: AsyncSession, session_id: str, user_id: str) -> Session:
    """A user's own session. Raises Refused: there is none, or it is somebody else's."""
    row = await session.get(SessionRow, session_id)
    if row is None or row.user_id != user_id:
        raise unknown_session(session_id)
    return told(row)


async def sessions_of(
    session: AsyncSession, user_id: str, place: tuple[str, ...], limit: int
) -> list[Session]:
    """A user's sessions, newest first, after a place."""
    query = select(SessionRow).where(SessionRow.user_id == user_id)
    if place:
        query = query.where(col(SessionRow.session_id) < place[0])
    rows = await session.exec(query.order_by(col(SessionRow.session_id).desc()).limit(limit))
    return [told(row) for row in rows.all()]


def unknown_session(session_id: str) -> Refused:
    return Refused("session.unknown", f"there is no session {session_id!r}")


def told(row: SessionRow) -> Session:
    """A session as it is told."""
    return Session.model_validate(row.model_dump(exclude={"kept"}))


async def _row(session: AsyncSession, session_id: str) -> SessionRow:
    query = select(SessionRow).where(SessionRow.session_id == session_id).with_for_update()
    row = (await session.exec(query)).one_or_none()
    if row is None:
        raise unknown_session(session_id)
    return row
