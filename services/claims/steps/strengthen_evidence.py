"""Match a rejected claim's evidence once more, by the thresholds that its rejection has taught."""

import asyncio

from contracts.claims import EvidenceStrengthened, StrengthenEvidence
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.matching import assign
from services.claims.store import claim_of, invoices_of, keep_evidence, policies, units_used, wanted
from services.claims.tables import DATABASE


@action("claims.strengthen_evidence", database=DATABASE)
async def strengthen_evidence(ctx: ActionContext, command: StrengthenEvidence) -> EvidenceStrengthened:
    claim = await claim_of(ctx.db, command.claim_id)
    used = await units_used(ctx.db, claim.account_id, [claim.claim_id])
    invoices = await invoices_of(ctx.db, claim.account_id)
    found = await asyncio.to_thread(assign, [wanted(claim)], invoices, await policies(ctx.db), used)
    await keep_evidence(ctx.db, [claim], found)
    return EvidenceStrengthened(documents=len(found[claim.claim_id]), confidence=claim.confidence)


app = service_app(strengthen_evidence)
