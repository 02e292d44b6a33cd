"""Write the proof packet of a paid claim and keep it."""

import asyncio
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.claims import ClaimStatus, PacketWritten, SellerNotified, WritePacket
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.packet import Item, Proof, content_hash, write
from services.claims.store import claim_of, evidence_of, move
from services.claims.tables import DATABASE, CaseChange, Claim, Packet, PayoutEntry, StoredRecord, Transition
from services.claims.telling import tell


@action("claims.write_packet", database=DATABASE, emits=(SellerNotified,))
async def write_packet(ctx: ActionContext, command: WritePacket) -> PacketWritten:
    claim = await claim_of(ctx.db, command.claim_id)
    proof = await proof_of(ctx.db, claim)
    written = await asyncio.to_thread(write, proof)
    packet = await ctx.db.get(Packet, claim.claim_id) or Packet(
        claim_id=claim.claim_id, account_id=claim.account_id, sha256="", pages=0, pdf=b"", at=ctx.now()
    )
    packet.sha256, packet.pages, packet.pdf, packet.at = written.sha256, written.pages, written.pdf, ctx.now()
    ctx.db.add(packet)
    move(ctx.db, claim, ClaimStatus.RECOVERED, ctx.now())
    text = f"The proof of {claim.kind} of {claim.sku} is ready"
    await tell(ctx, ctx.db, "packet_ready", text, about=claim, phase=7, sha256=written.sha256)
    return PacketWritten(
        sha256=written.sha256, size_bytes=len(written.pdf), pages=written.pages, evidence=len(proof.evidence)
    )


async def proof_of(session: AsyncSession, claim: Claim) -> Proof:
    """What the packet of a claim says. Raises Refused if nothing was paid."""
    payouts = (
        await session.exec(
            select(PayoutEntry)
            .where(PayoutEntry.claim_id == claim.claim_id)
            .order_by(col(PayoutEntry.payout_id))
        )
    ).all()
    if not payouts:
        raise Refused("payout.unknown", f"nothing was paid for claim {claim.claim_id}")
    return Proof(
        title=f"Proof of claim {claim.claim_id}",
        facts=(
            ("account", claim.account_id),
            ("kind", claim.kind.replace("_", " ")),
            ("SKU", claim.sku),
            ("quantity", str(claim.quantity)),
            ("on", claim.on.isoformat()),
            ("case", f"{claim.case_id}, submission {claim.submission}"),
            ("confidence", f"{claim.confidence}%"),
        ),
        money=[("claimed", str(claim.money)), *(line for one in payouts for line in _booked(one))],
        history=await _history(session, claim),
        evidence=[*await _records(session, claim), *await _invoices(session, claim)],
    )


def _booked(payout: PayoutEntry) -> list[tuple[str, str]]:
    return [
        (f"paid by {payout.payout_id}", f"{payout.paid} {payout.currency} ({payout.verdict})"),
        ("our fee", f"{payout.fee} {payout.currency}"),
        ("the seller's", f"{payout.seller_share} {payout.currency}"),
    ]


async def _history(session: AsyncSession, claim: Claim) -> list[tuple[datetime, str]]:
    phases = await session.exec(select(Transition).where(Transition.claim_id == claim.claim_id))
    cases = await session.exec(select(CaseChange).where(CaseChange.claim_id == claim.claim_id))
    moments = [(one.at, f"phase {one.phase} {one.outcome}") for one in phases.all()]
    moments += [(one.at, f"case {one.case_id} {one.status.replace('_', ' ')}") for one in cases.all()]
    return sorted(moments)


async def _records(session: AsyncSession, claim: Claim) -> list[Item]:
    query = select(StoredRecord).where(
        StoredRecord.account_id == claim.account_id, col(StoredRecord.record_id).in_(claim.records)
    )
    rows = (await session.exec(query.order_by(col(StoredRecord.record_id)))).all()
    return [
        Item(row.kind, row.record_id, ", ".join(f"{key} {value}" for key, value in row.content.items()
        if key in ("quantity", "reason", "charged", "refunded", "on", "refunded_on")), content_hash(row.content))
        for row in rows
    ]  # fmt: skip


async def _invoices(session: AsyncSession, claim: Claim) -> list[Item]:
    return [
        Item(
            "invoice", one.invoice_id,
            f"{one.quantity} units, {one.score}%: " + "; ".join(f"{part['why']}" for part in one.parts),
            one.sha256,
        )
        for one in await evidence_of(session, claim.claim_id)
    ]  # fmt: skip


app = service_app(write_packet)
