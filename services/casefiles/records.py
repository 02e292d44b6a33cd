"""Casefiles and their access control lists."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefile_records import Casefile, CasefileSettings
from contracts.casefiles import Grant, Permission
from contracts.failure import Conflict, Stale
from contracts.ids import new_saga_id
from saga.action import Refused
from services.casefiles.access import permitted, readable_by
from services.casefiles.tables import CasefileRow, EvidenceRow, GrantRow, SessionRow, SessionUse


async def open_casefile(
    session: AsyncSession,
    wanted: CasefileSettings,
    *,
    owner: str,
    grants: Iterable[Grant],
    now: datetime,
    made_by: tuple[str, str] | None = None,
) -> Casefile:
    """A new casefile. `made_by`: saga and step, if a saga creates it."""
    saga_id, step = made_by or (None, None)
    casefile = CasefileRow(
        casefile_id=new_saga_id(),
        saga_id=saga_id,
        step=step,
        title=wanted.title,
        description=wanted.description,
        owner=owner,
        created_at=now,
        updated_at=now,
    )
    session.add(casefile)
    await session.flush()
    for user_id, permission in {grant.user_id: grant.permission for grant in grants}.items():
        if user_id != owner:
            session.add(GrantRow(casefile_id=casefile.casefile_id, user_id=user_id, permission=permission))
    await session.flush()
    return await _told(session, casefile)


async def read_casefile(session: AsyncSession, casefile_id: str, user_id: str) -> Casefile:
    """Raises Refused."""
    return await _told(session, await permitted(session, casefile_id, user_id, "read"))


async def casefiles_of(
    session: AsyncSession, user_id: str, place: tuple[str, ...], limit: int
) -> list[Casefile]:
    """The casefiles that a user may read, newest first, after a place."""
    query = select(CasefileRow).where(readable_by(user_id))
    if place:
        query = query.where(col(CasefileRow.casefile_id) < place[0])
    rows = await session.exec(query.order_by(col(CasefileRow.casefile_id).desc()).limit(limit))
    return await _all_told(session, rows.all())


async def change_casefile(
    session: AsyncSession,
    casefile_id: str,
    user_id: str,
    wanted: CasefileSettings,
    *,
    over: int | None,
    now: datetime,
) -> Casefile:
    """Change what a casefile says. Raises Refused, or Stale unless its revision is `over`; None: over any."""
    casefile = await permitted(session, casefile_id, user_id, "write")
    if over not in (None, casefile.revision):
        raise Stale(f"casefile {casefile_id} has revision {casefile.revision}, not {over}: read it again")
    casefile.title, casefile.description = wanted.title, wanted.description
    _changed(casefile, now)
    return await _told(session, casefile)


async def grant(
    session: AsyncSession,
    casefile_id: str,
    by: str,
    user_id: str,
    permission: Permission | None,
    now: datetime,
) -> Casefile:
    """Let a user do that and no more; None: nothing. Raises Refused, or Conflict for the owner, who manages."""
    casefile = await permitted(session, casefile_id, by, "manage")
    if user_id == casefile.owner:
        raise Conflict(f"{user_id!r} owns casefile {casefile_id}: no grant changes what the owner may do")
    granted = await session.get(GrantRow, (casefile_id, user_id))
    if permission is None:
        if granted is not None:
            await session.delete(granted)
    elif granted is None:
        session.add(GrantRow(casefile_id=casefile_id, user_id=user_id, permission=permission))
    else:
        granted.permission = permission
    _changed(casefile, now)
    await session.flush()
    return await _told(session, casefile)


async def remove_casefile(session: AsyncSession, casefile_id: str, user_id: str) -> Casefile:
    """Remove a casefile with its evidence; sessions stay, linked to nothing. Raises Refused."""
    casefile = await permitted(session, casefile_id, user_id, "manage")
    told = await _told(session, casefile)
    await session.delete(casefile)
    return told


async def take_back_casefile(session: AsyncSession, saga_id: str, step: str) -> None:
    """Remove the casefile that a step has created, unless it is gone.

    Raises Refused if others have put evidence into it or work on it in a session: theirs is not to be lost.
    """
    made = select(CasefileRow).where(CasefileRow.saga_id == saga_id, CasefileRow.step == step)
    casefile = (await session.exec(made.with_for_update())).one_or_none()
    if casefile is None:
        return
    if others := await _others_in(session, casefile.casefile_id, saga_id):
        raise Refused("casefile.in_use", f"others use casefile {casefile.casefile_id}: {', '.join(others)}")
    await session.delete(casefile)


async def _others_in(session: AsyncSession, casefile_id: str, saga_id: str) -> list[str]:
    """Some of the sagas and sessions that use a casefile beside this saga."""
    stored = select(EvidenceRow.saga_id).where(
        EvidenceRow.casefile_id == casefile_id, EvidenceRow.saga_id != saga_id
    )
    used = select(SessionUse.session_id).where(SessionUse.saga_id != saga_id, ~col(SessionUse.left))
    linked = select(SessionRow.session_id).where(
        SessionRow.casefile_id == casefile_id,
        col(SessionRow.kept) | col(SessionRow.session_id).in_(used),
    )
    sagas = (await session.exec(stored.distinct().limit(3))).all()
    sessions = (await session.exec(linked.limit(3))).all()
    return [*(f"saga {one}" for one in sagas), *(f"session {one}" for one in sessions)]


def _changed(casefile: CasefileRow, now: datetime) -> None:
    casefile.revision += 1
    casefile.updated_at = now


async def _told(session: AsyncSession, casefile: CasefileRow) -> Casefile:
    (told,) = await _all_told(session, [casefile])
    return told


async def _all_told(session: AsyncSession, casefiles: Sequence[CasefileRow]) -> list[Casefile]:
    ids = [casefile.casefile_id for casefile in casefiles]
    query = select(GrantRow).where(col(GrantRow.casefile_id).in_(ids)).order_by(col(GrantRow.user_id))
    granted: dict[str, list[Grant]] = defaultdict(list)
    for row in (await session.exec(query)).all():
        granted[row.casefile_id].append(Grant.model_validate(row.model_dump(exclude={"casefile_id"})))
    return [
        Casefile(**casefile.model_dump(exclude={"step"}), grants=tuple(granted[casefile.casefile_id]))
        for casefile in casefiles
    ]
