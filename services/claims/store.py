"""What the steps read and write together: claims, their evidence, and the thresholds of today."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.claims import ClaimStatus
from contracts.marketplace import ClaimKind, Document, Invoice
from events.database import Database, one_at_a_time
from saga.action import Refused
from services.claims.findings import Records
from services.claims.matching import Match, Wanted, confidence
from services.claims.policy import Policy
from services.claims.tables import Claim, Connection, Evidence, PolicyVersion, StoredRecord


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[AsyncSession]:
    """A session that only reads: it holds up no writer, and waits for none."""
    async with database.reading() as connection, AsyncSession(connection, expire_on_commit=False) as session:
        yield session


async def claim_of(session: AsyncSession, claim_id: str) -> Claim:
    """The claim, kept from others until the transaction ends. Raises Refused if it is not known."""
    claim = await session.get(Claim, claim_id, with_for_update=True)
    if claim is None:
        raise Refused("claim.unknown", f"no claim {claim_id}")
    return claim


async def token_of(session: AsyncSession, account_id: str) -> str:
    """The token by which the account lets us in. Raises Refused if it does not."""
    connection = await session.get(Connection, account_id)
    if connection is None or not connection.token:
        raise Refused("account.not_connected", f"account {account_id} has not let us in: connect it first")
    return connection.token


def move(session: AsyncSession, claim: Claim, status: ClaimStatus, now: datetime) -> None:
    """The claim has come to this status."""
    claim.status, claim.updated_at = status.value, now
    session.add(claim)


async def records_of(session: AsyncSession, account_id: str) -> Records:
    """All records of an account that were synced."""
    found: dict[str, list[Any]] = defaultdict(list)
    query = select(StoredRecord).where(StoredRecord.account_id == account_id)
    for row in (await session.exec(query.order_by(col(StoredRecord.record_id)))).all():
        found[row.kind].append(row.content)
    return Records.of(found)


async def invoices_of(session: AsyncSession, account_id: str) -> list[Invoice]:
    """The invoices of an account."""
    query = select(StoredRecord).where(StoredRecord.account_id == account_id, StoredRecord.kind == "invoices")
    return [Invoice.model_validate(row.content) for row in (await session.exec(query)).all()]


def wanted(claim: Claim) -> Wanted:
    """The claim as one that needs evidence."""
    return Wanted(
        claim_id=claim.claim_id, kind=claim.claim_kind, sku=claim.sku, quantity=claim.quantity, on=claim.on
    )


async def policies(session: AsyncSession) -> dict[ClaimKind, Policy]:
    """The newest thresholds of every kind."""
    newest = dict.fromkeys(ClaimKind, Policy())
    for row in (await session.exec(select(PolicyVersion).order_by(col(PolicyVersion.version)))).all():
        newest[ClaimKind(row.kind)] = Policy(**row.thresholds)
    return newest


async def one_learner(session: AsyncSession, kind: ClaimKind) -> None:
    """Lessons about a kind come one at a time, or two would make the same version."""
    await one_at_a_time(session, f"policy {kind}")


async def units_used(session: AsyncSession, account_id: str, besides: Iterable[str]) -> dict[str, int]:
    """How many units of each invoice prove claims of the account other than these; fees use none.

    Until the transaction ends nobody else is told: what it is about to use may not be used by another.
    """
    await one_at_a_time(session, f"evidence {account_id}")
    query = (
        select(Evidence.invoice_id, func.sum(Evidence.quantity))
        .join(Claim, col(Claim.claim_id) == col(Evidence.claim_id))
        .where(
            Evidence.account_id == account_id,
            Claim.kind != ClaimKind.FEE_OVERCHARGE,
            col(Evidence.claim_id).not_in(list(besides)),
        )
        .group_by(col(Evidence.invoice_id))
    )
    return {invoice_id: int(units) for invoice_id, units in (await session.exec(query)).all()}


async def keep_evidence(
    session: AsyncSession, claims: Sequence[Claim], found: Mapping[str, Sequence[Match]]
) -> None:
    """Replace the evidence of these claims, and with it their confidence."""
    ids = [claim.claim_id for claim in claims]
    connection = await session.connection()
    await connection.execute(delete(Evidence).where(col(Evidence.claim_id).in_(ids)))
    for claim in claims:
        matches = found[claim.claim_id]
        claim.confidence = confidence(wanted(claim), matches)
        session.add(claim)
        for match in matches:
            session.add(
                Evidence(
                    claim_id=claim.claim_id, invoice_id=match.invoice.invoice_id, account_id=claim.account_id,
                    sha256=match.invoice.sha256, quantity=match.quantity, score=match.score,
                    parts=[asdict(part) for part in match.parts],
                )
            )  # fmt: skip


async def evidence_of(session: AsyncSession, claim_id: str) -> list[Evidence]:
    """The evidence of a claim, the best first."""
    query = select(Evidence).where(Evidence.claim_id == claim_id)
    rows = (await session.exec(query)).all()
    return sorted(rows, key=lambda row: (-row.score, row.invoice_id))


def documents(evidence: Iterable[Evidence]) -> tuple[Document, ...]:
    """The evidence as the marketplace wants it."""
    return tuple(
        Document(invoice_id=one.invoice_id, sha256=one.sha256, quantity=one.quantity, score=one.score)
        for one in evidence
    )
