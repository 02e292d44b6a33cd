"""Evidence in casefiles. Every step stores its own, so taking back what one has stored takes nothing from another."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import delete
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefile_records import Evidence
from contracts.evidence import EvidenceKind, File, Mail, Report, Sheet
from contracts.ids import new_saga_id
from saga.action import ActionContext, Refused
from services.casefiles.access import permitted
from services.casefiles.acting import acting
from services.casefiles.bounds import fitting
from services.casefiles.sessions import session_of_saga
from services.casefiles.tables import CasefileRow, EvidenceRow

_MAX_LOOKED_AT = 2_000

type Item = Mail | File | Sheet | Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a step works: in which casefile, as whom. What is not said is that of the saga's own session."""

    saga_id: str
    step: str
    casefile_id: str | None
    user_id: str | None


def place_of(ctx: ActionContext, casefile_id: str | None, user_id: str | None) -> Place:
    """The place of a step that is told these."""
    return Place(saga_id=ctx.saga_id, step=ctx.step, casefile_id=casefile_id, user_id=acting(ctx, user_id))


async def casefile_at(session: AsyncSession, place: Place, *, writing: bool) -> CasefileRow:
    """The casefile that a step works on. Raises Refused: there is none, or its user may not do that."""
    opened = await session_of_saga(session, place.saga_id)
    casefile_id = place.casefile_id or (opened.casefile_id if opened else None)
    user_id = place.user_id or (opened.user_id if opened else None)
    if casefile_id is None or user_id is None:
        raise Refused("casefile.none", "no casefile: name casefile_id and user_id, or open a session before")
    return await permitted(session, casefile_id, user_id, "write" if writing else "read")


async def store_evidence(
    session: AsyncSession, casefile: CasefileRow, place: Place, items: Iterable[Item], now: datetime
) -> list[str]:
    """Store it as this step's, in place of whatever an earlier attempt has stored; the ids."""
    await take_back_evidence(session, place.saga_id, place.step)
    rows = [_row(item, casefile.casefile_id, place, now) for item in items]
    session.add_all(rows)
    return [row.evidence_id for row in rows]


async def take_back_evidence(session: AsyncSession, saga_id: str, step: str) -> None:
    """Remove what a step has stored."""
    await session.exec(
        delete(EvidenceRow).where(col(EvidenceRow.saga_id) == saga_id, col(EvidenceRow.step) == step)
    )


async def newest[T: BaseModel](
    session: AsyncSession, casefile_id: str, kind: EvidenceKind, model: type[T], limit: int
) -> tuple[tuple[T, ...], bool]:
    """The newest evidence of a kind, of each source what was stored last, and whether there is more."""
    query = (
        select(EvidenceRow)
        .where(EvidenceRow.casefile_id == casefile_id, EvidenceRow.kind == kind)
        .order_by(col(EvidenceRow.evidence_id).desc())
        .limit(_MAX_LOOKED_AT)
    )
    rows = (await session.exec(query)).all()
    sources: dict[str, EvidenceRow] = {}
    for row in rows:
        sources.setdefault(row.source, row)
    kept, more = fitting((model.model_validate(row.content) for row in sources.values()), limit)
    return kept, more or len(rows) == _MAX_LOOKED_AT


async def evidence_in(
    session: AsyncSession, casefile_id: str, kind: EvidenceKind | None, place: tuple[str, ...], limit: int
) -> list[Evidence]:
    """The evidence of a casefile, newest first, after a place."""
    query = select(EvidenceRow).where(EvidenceRow.casefile_id == casefile_id)
    if kind is not None:
        query = query.where(EvidenceRow.kind == kind)
    if place:
        query = query.where(col(EvidenceRow.evidence_id) < place[0])
    rows = await session.exec(query.order_by(col(EvidenceRow.evidence_id).desc()).limit(limit))
    return [Evidence.model_validate(row.model_dump(exclude={"casefile_id", "step"})) for row in rows.all()]


def _row(item: Item, casefile_id: str, place: Place, now: datetime) -> EvidenceRow:
    kind, source = _named(item)
    return EvidenceRow(
        evidence_id=new_saga_id(),
        casefile_id=casefile_id,
        saga_id=place.saga_id,
        step=place.step,
        kind=kind,
        source=source,
        sha256=hashlib.sha256(item.model_dump_json().encode()).hexdigest(),
        content=item.model_dump(mode="json"),
        stored_at=now,
    )


def _named(item: Item) -> tuple[EvidenceKind, str]:
    match item:
        case Mail():
            return "mail", item.message_id
        case File():
            return "file", item.path
        case Sheet():
            return "sheet", f"{item.path}#{item.name}" if item.name else item.path
        case Report():
            return "report", "report"
