"""Chain what was said and decided to the trail; undo: chain that it was withdrawn. Nothing is ever changed."""

from sqlmodel import col, select

from contracts.chargebacks import RecordTrail, TrailRecorded
from events.database import one_at_a_time
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.chargebacks.tables import TrailDocument
from services.chargebacks.trail import GENESIS, Document, recorded, withdrawn

DATABASE = StepDatabase("compliance_trail", tables=(TrailDocument,))


@action("chargebacks.compliance_trail", database=DATABASE)
async def compliance_trail(ctx: ActionContext, command: RecordTrail) -> TrailRecorded:
    previous = await _end(ctx)
    document = recorded(command, saga_id=ctx.saga_id, at=ctx.now(), previous=previous)
    row = await _append(ctx, ctx.key, document)
    return TrailRecorded(number=row.number or 0, hash=row.hash)


# A rehearsal is rolled back, so that it may be the real thing.
compliance_trail.rehearsal(compliance_trail.handler)


@compliance_trail.compensation
async def withdraw_document(ctx: ActionContext, command: RecordTrail, output: TrailRecorded | None) -> None:
    query = select(TrailDocument).where(TrailDocument.key == ctx.key)
    row = (await ctx.db.exec(query)).one()
    previous = await _end(ctx)
    document = withdrawn(saga_id=ctx.saga_id, at=ctx.now(), previous=previous, hash=row.hash)
    await _append(ctx, f"{ctx.key}.withdrawal", document)


async def _end(ctx: ActionContext) -> str:
    """The last hash of the chain. Who appends waits for whoever is doing so."""
    await one_at_a_time(ctx.db, "compliance trail")
    query = select(TrailDocument.hash).order_by(col(TrailDocument.number).desc()).limit(1)
    return (await ctx.db.exec(query)).one_or_none() or GENESIS


async def _append(ctx: ActionContext, key: str, document: Document) -> TrailDocument:
    row = TrailDocument(
        key=key,
        saga_id=ctx.saga_id,
        previous=document["previous"],
        hash=document["hash"],
        document=document,
    )
    ctx.db.add(row)
    await ctx.db.flush()
    return row


app = service_app(compliance_trail)
