"""Submit a claim with its documents, once per key; undo: withdraw it by the same key.

A case that is decided cannot be withdrawn: then the claim stays what the decision made of it.
"""

from contracts.claims import ClaimFiled, ClaimStatus, NotificationKind, SellerNotified, SubmitClaim
from contracts.marketplace import Case, CaseRequest
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.marketplace_client import Tools, tools
from services.claims.store import claim_of, documents, evidence_of, move, token_of
from services.claims.tables import DATABASE
from services.claims.telling import database_of, tell

_TAKEN_BACK = ("withdrawn", "barred")


@action("claims.submit_claim", database=DATABASE, external=True, resource=tools, emits=(SellerNotified,))
async def submit_claim(ctx: ActionContext, command: SubmitClaim) -> ClaimFiled:
    outside: Tools = ctx.resource
    submission = 1 if command.how == "first" else 2
    async with database_of(ctx).transaction() as session:
        claim = await claim_of(session, command.claim_id)
        if claim.submission > submission:
            raise Refused("claim.elsewhere", f"claim {claim.claim_id} was submitted {claim.submission} times")
        token = await token_of(session, claim.account_id)
        request = CaseRequest(
            claim_id=claim.claim_id, kind=claim.claim_kind, sku=claim.sku, quantity=claim.quantity,
            amount=claim.money, records=tuple(claim.records),
            documents=documents(await evidence_of(session, claim.claim_id)),
            earlier=claim.case_id if claim.submission == 1 and submission > 1 else None,
            appeals=command.how == "appeal",
        )  # fmt: skip
    async with ctx.breaker("marketplace"):
        case = await outside.marketplace.submit(token, ctx.key, request)
    await _note(ctx, command, submission, case)
    return ClaimFiled(submission=submission, case_id=case.case_id, documents=len(request.documents))


async def _note(ctx: ActionContext, command: SubmitClaim, submission: int, case: Case) -> None:
    async with database_of(ctx).transaction() as session:
        claim = await claim_of(session, command.claim_id)
        if claim.case_id == case.case_id:
            return
        claim.case_id, claim.case_status, claim.submission = case.case_id, case.status, submission
        move(session, claim, ClaimStatus.SUBMITTED, ctx.now())
        kind: NotificationKind = "claim_submitted" if submission == 1 else "claim_resubmitted"
        text = f"{claim.kind} of {claim.sku}: {claim.money} claimed as case {case.case_id}"
        phase = 4 if submission == 1 else 6
        await tell(ctx, session, kind, text, about=claim, phase=phase, case_id=case.case_id, how=command.how)


@submit_claim.compensation
async def withdraw_claim(ctx: ActionContext, command: SubmitClaim, output: ClaimFiled | None) -> None:
    outside: Tools = ctx.resource
    async with database_of(ctx).transaction() as session:
        claim = await claim_of(session, command.claim_id)
        token = await token_of(session, claim.account_id)
    async with ctx.breaker("marketplace"):
        status = await outside.marketplace.withdraw(token, ctx.key)
    if status not in _TAKEN_BACK:
        ctx.log.info("claims.decided_before_withdrawal", claim_id=command.claim_id, status=status)
        return
    async with database_of(ctx).transaction() as session:
        claim = await claim_of(session, command.claim_id)
        if claim.status != ClaimStatus.WITHDRAWN:
            claim.case_status = "withdrawn"
            move(session, claim, ClaimStatus.WITHDRAWN, ctx.now())
            text = f"{claim.kind} of {claim.sku}: the claim of {claim.money} is withdrawn"
            await tell(ctx, session, "claim_withdrawn", text, about=claim, phase=4)


app = service_app(submit_claim)
