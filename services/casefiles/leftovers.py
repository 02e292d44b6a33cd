"""What casefiles hold after a run, read from their own database: what was kept, and what an undo has left over."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, func, select

from events.database import Database, make_engine
from saga.service import ServiceSettings
from services.casefiles.tables import DATABASE, CasefileRow, EvidenceRow, SessionUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much there is. `leftovers`: rows of sagas that were undone; there must be none."""

    casefiles: int
    evidence: int
    leftovers: int


async def what_is_kept(settings: ServiceSettings, undone: Sequence[str]) -> Kept:
    """Count, knowing which sagas were undone."""
    database = Database(make_engine(settings.url_of(DATABASE.name)))
    try:
        async with database.transaction() as session:
            made = (
                select(func.count()).where(col(CasefileRow.saga_id).in_(undone)),
                select(func.count()).where(col(EvidenceRow.saga_id).in_(undone)),
                select(func.count()).where(col(SessionUse.saga_id).in_(undone), ~col(SessionUse.left)),
            )
            left = [await session.scalar(query) for query in made]
            return Kept(
                casefiles=await session.scalar(select(func.count()).select_from(CasefileRow)) or 0,
                evidence=await session.scalar(select(func.count()).select_from(EvidenceRow)) or 0,
                leftovers=sum(count or 0 for count in left),
            )
    finally:
        await database.close()
