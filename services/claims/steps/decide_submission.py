"""Submit a claim, ask the seller, or park it: by its confidence and the thresholds of today.

Undo: the claim is withdrawn, and what the seller was asked about it needs no answer any more.
"""

from contracts.claims import ClaimStatus, DecideSubmission, SellerNotified, SubmissionDecided
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.store import claim_of, move, policies
from services.claims.tables import DATABASE, Question
from services.claims.telling import tell


@action("claims.decide_submission", database=DATABASE, emits=(SellerNotified,))
async def decide_submission(ctx: ActionContext, command: DecideSubmission) -> SubmissionDecided:
    claim = await claim_of(ctx.db, command.claim_id)
    if claim.status != ClaimStatus.MATCHED:
        raise Refused("claim.elsewhere", f"claim {claim.claim_id} is {claim.status}, expected matched")
    policy = (await policies(ctx.db))[claim.claim_kind]
    decision = policy.decide(command.confidence)
    if decision == "park":
        move(ctx.db, claim, ClaimStatus.PARKED, ctx.now())
        text = f"{claim.kind} of {claim.sku}: {command.confidence}% sure is too little for a claim of {claim.money}"
        await tell(ctx, ctx.db, "claim_parked", text, about=claim, phase=4, confidence=command.confidence)
    return SubmissionDecided(
        decision=decision, policy_version=policy.version, submit_at=policy.submit_at, ask_at=policy.ask_at
    )


@decide_submission.compensation
async def give_claim_up(
    ctx: ActionContext, command: DecideSubmission, output: SubmissionDecided | None
) -> None:
    claim = await claim_of(ctx.db, command.claim_id)
    question = await ctx.db.get(Question, command.claim_id)
    if question is not None and not question.answer:
        question.answer, question.by, question.answered_at = "withdrawn", ctx.action, ctx.now()
        ctx.db.add(question)
    if claim.status in (ClaimStatus.MATCHED, ClaimStatus.ASKED):
        move(ctx.db, claim, ClaimStatus.WITHDRAWN, ctx.now())
        text = f"{claim.kind} of {claim.sku} is not claimed any more"
        await tell(ctx, ctx.db, "claim_withdrawn", text, about=claim, phase=4)


app = service_app(decide_submission)
