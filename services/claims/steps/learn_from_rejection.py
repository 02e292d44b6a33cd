"""Learn from a rejection: what it comes down to, stricter thresholds for claims of its kind, and what is next.

Undo: what was learned stays learned, but the claim stays rejected.
"""

from dataclasses import asdict

from contracts.claims import ClaimStatus, LearnFromRejection, LessonLearned, SellerNotified
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.policy import classify, learned, next_of
from services.claims.store import claim_of, move, one_learner, policies
from services.claims.tables import DATABASE, PolicyVersion
from services.claims.telling import tell


@action("claims.learn_from_rejection", database=DATABASE, emits=(SellerNotified,))
async def learn_from_rejection(ctx: ActionContext, command: LearnFromRejection) -> LessonLearned:
    claim = await claim_of(ctx.db, command.claim_id)
    if claim.submission != command.submission:
        raise Refused(
            "claim.elsewhere", f"claim {claim.claim_id} was submitted {claim.submission} times, not so many"
        )
    reason = classify(command.reason)
    await one_learner(ctx.db, claim.claim_kind)
    policy = (await policies(ctx.db))[claim.claim_kind]
    newer = learned(policy, reason)
    if newer.version != policy.version:
        ctx.db.add(
            PolicyVersion(
                kind=claim.kind, version=newer.version, thresholds=asdict(newer), claim_id=claim.claim_id,
                reason=reason.value, words=command.reason, at=ctx.now(),
            )
        )  # fmt: skip
    following = next_of(reason, command.submission)
    move(ctx.db, claim, ClaimStatus.REJECTED if following == "stop" else ClaimStatus.LEARNING, ctx.now())
    text = f"{claim.kind} of {claim.sku} was rejected: {command.reason}"
    await tell(
        ctx, ctx.db, "claim_rejected", text, about=claim, phase=6, reason=reason.value, next=following,
        submission=command.submission,
    )  # fmt: skip
    return LessonLearned(reason=reason, policy_version=newer.version, next=following)


@learn_from_rejection.compensation
async def leave_rejected(
    ctx: ActionContext, command: LearnFromRejection, output: LessonLearned | None
) -> None:
    claim = await claim_of(ctx.db, command.claim_id)
    if claim.status == ClaimStatus.LEARNING:
        move(ctx.db, claim, ClaimStatus.REJECTED, ctx.now())


app = service_app(learn_from_rejection)
