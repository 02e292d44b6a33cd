"""Follow a case until it is decided: webhooks wake the step, and as some get lost it looks by itself now and then."""

from contracts.claims import ClaimStatus, ClaimTracked, SellerNotified, TrackClaim
from contracts.marketplace import Case
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.marketplace_client import Tools, tools
from services.claims.store import claim_of, move, token_of
from services.claims.tables import DATABASE, CaseChange
from services.claims.telling import database_of, tell


@action("claims.track_claim", database=DATABASE, guard=False, resource=tools, emits=(SellerNotified,))
async def track_claim(ctx: ActionContext, command: TrackClaim) -> ClaimTracked:
    outside: Tools = ctx.resource
    async with database_of(ctx).transaction() as session:
        token = await token_of(session, (await claim_of(session, command.claim_id)).account_id)
    async with ctx.breaker("marketplace"):
        case = await outside.marketplace.case(token, command.case_id)
    await _note(ctx, command, case)
    if not case.decided:
        await ctx.wait_again(outside.settings.poll_s)
    return ClaimTracked.model_validate(
        {"outcome": case.status, "reason": case.reason, "payout": case.payout}, from_attributes=True
    )


async def _note(ctx: ActionContext, command: TrackClaim, case: Case) -> None:
    async with database_of(ctx).transaction() as session:
        claim = await claim_of(session, command.claim_id)
        if claim.submission < command.submission:
            # Somebody else has submitted it, and told us by entering the phase.
            claim.submission, claim.case_id = command.submission, case.case_id
            move(session, claim, ClaimStatus.SUBMITTED, ctx.now())
        if await session.get(CaseChange, (case.case_id, case.status)) is not None:
            return
        session.add(
            CaseChange(case_id=case.case_id, status=case.status, claim_id=claim.claim_id, at=ctx.now())
        )
        if claim.case_id == case.case_id:
            claim.case_status, claim.updated_at = case.status, ctx.now()
            session.add(claim)
        text = f"case {case.case_id} is {case.status.replace('_', ' ')}"
        await tell(
            ctx, session, "case_status", text, about=claim, phase=5, case_id=case.case_id, status=case.status
        )


app = service_app(track_claim)
