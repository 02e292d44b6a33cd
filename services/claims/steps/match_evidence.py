"""Match the account's invoices to the claims of a run. Units that prove earlier claims are not used again."""

import asyncio

from sqlmodel import col, select

from contracts.claims import ClaimStatus, EvidenceRanked, MatchEvidence
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.matching import assign
from services.claims.store import invoices_of, keep_evidence, move, policies, units_used, wanted
from services.claims.tables import DATABASE, Claim


@action("claims.match_evidence", database=DATABASE)
async def match_evidence(ctx: ActionContext, command: MatchEvidence) -> EvidenceRanked:
    query = select(Claim).where(
        Claim.account_id == command.account_id, Claim.run == command.run, Claim.status == ClaimStatus.FOUND
    )
    claims = (await ctx.db.exec(query.order_by(col(Claim.claim_id)))).all()
    used = await units_used(ctx.db, command.account_id, [claim.claim_id for claim in claims])
    invoices = await invoices_of(ctx.db, command.account_id)
    found = await asyncio.to_thread(
        assign, [wanted(claim) for claim in claims], invoices, await policies(ctx.db), used
    )
    await keep_evidence(ctx.db, claims, found)
    for claim in claims:
        move(ctx.db, claim, ClaimStatus.MATCHED, ctx.now())
    proven = sum(bool(matches) for matches in found.values())
    return EvidenceRanked(proven=proven, unproven=len(claims) - proven)


app = service_app(match_evidence)
