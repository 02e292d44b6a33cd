"""Who may do what with a casefile. Whoever may not even read it is told that there is none."""

from sqlalchemy import ColumnElement
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefiles import Permission
from saga.action import Refused
from services.casefiles.tables import CasefileRow, GrantRow

_INCLUDES: dict[Permission, frozenset[str]] = {
    "read": frozenset({"read", "write", "manage"}),
    "write": frozenset({"write", "manage"}),
    "manage": frozenset({"manage"}),
}


async def permitted(
    session: AsyncSession, casefile_id: str, user_id: str, permission: Permission
) -> CasefileRow:
    """The casefile, if the user may do that with it; it stays until the transaction ends, and to be written, unchanged.

    Raises Refused: `casefile.unknown` or `casefile.forbidden`.
    """
    query = select(CasefileRow).where(CasefileRow.casefile_id == casefile_id)
    reading = permission == "read"
    found = await session.exec(query.with_for_update(read=reading, key_share=reading))
    casefile = found.one_or_none()
    granted = await _granted(session, casefile, user_id)
    if casefile is None or granted not in _INCLUDES["read"]:
        raise Refused("casefile.unknown", f"there is no casefile {casefile_id!r} for {user_id!r}")
    if granted not in _INCLUDES[permission]:
        raise Refused(
            "casefile.forbidden", f"{user_id!r} may {granted} casefile {casefile_id}, not {permission} it"
        )
    return casefile


async def _granted(session: AsyncSession, casefile: CasefileRow | None, user_id: str) -> str | None:
    if casefile is None:
        return None
    if casefile.owner == user_id:
        return "manage"
    grant = await session.get(GrantRow, (casefile.casefile_id, user_id))
    return grant.permission if grant else None


def readable_by(user_id: str) -> ColumnElement[bool]:
    """The condition that a user may read a casefile."""
    granted = select(GrantRow.casefile_id).where(GrantRow.user_id == user_id)
    return (col(CasefileRow.owner) == user_id) | col(CasefileRow.casefile_id).in_(granted)
