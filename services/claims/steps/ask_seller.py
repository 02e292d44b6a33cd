"""Ask the seller whether to submit a claim; remind now and then; without an answer in time it is not submitted."""

from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.claims import AskSeller, ClaimStatus, SellerAnswered, SellerNotified
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.marketplace_client import Tools, tools
from services.claims.settings import ClaimsSettings
from services.claims.store import claim_of, evidence_of, move
from services.claims.tables import DATABASE, Claim, Question
from services.claims.telling import database_of, tell

_SOON_S = 0.05


@action("claims.ask_seller", database=DATABASE, guard=False, resource=tools, emits=(SellerNotified,))
async def ask_seller(ctx: ActionContext, command: AskSeller) -> SellerAnswered:
    outside: Tools = ctx.resource
    async with database_of(ctx).transaction() as session:
        claim = await claim_of(session, command.claim_id)
        question = await session.get(Question, command.claim_id, with_for_update=True)
        if question is None:
            question = await _ask(ctx, session, claim, outside.settings)
        if not question.answer:
            await _look_at_the_clock(ctx, session, claim, question, outside.settings)
        if question.answer in ("decline", "expired"):
            ended = ClaimStatus.DECLINED if question.answer == "decline" else ClaimStatus.EXPIRED
            move(session, claim, ended, ctx.now())
    if not question.answer:
        next_at = min(question.expires_at, _reminder_at(question, outside.settings))
        await ctx.wait_again(max(_SOON_S, (next_at - ctx.now()).total_seconds()))
    return SellerAnswered.model_validate({"answer": question.answer, "reminders": question.reminders})


async def _ask(ctx: ActionContext, session: AsyncSession, claim: Claim, settings: ClaimsSettings) -> Question:
    question = Question(
        claim_id=claim.claim_id, account_id=claim.account_id, saga_id=ctx.saga_id, step=ctx.step,
        asked_at=ctx.now(), expires_at=ctx.now() + timedelta(seconds=settings.expire_after_s),
    )  # fmt: skip
    session.add(question)
    move(session, claim, ClaimStatus.ASKED, ctx.now())
    text = f"Shall we claim {claim.money} for {claim.kind} of {claim.sku}? We are {claim.confidence}% sure."
    why = [part["why"] for one in await evidence_of(session, claim.claim_id) for part in one.parts]
    until = question.expires_at.isoformat()
    await tell(ctx, session, "question", text, about=claim, phase=4, why=why, expires_at=until)
    return question


async def _look_at_the_clock(
    ctx: ActionContext, session: AsyncSession, claim: Claim, question: Question, settings: ClaimsSettings
) -> None:
    if ctx.now() >= question.expires_at:
        question.answer, question.by, question.answered_at = "expired", "clock", ctx.now()
        session.add(question)
        text = f"Your time to answer is over: {claim.kind} of {claim.sku} is not claimed"
        await tell(ctx, session, "question_expired", text, about=claim, phase=4)
    elif ctx.now() >= _reminder_at(question, settings):
        question.reminders, question.reminded_at = question.reminders + 1, ctx.now()
        session.add(question)
        text = f"Still open: shall we claim {claim.money} for {claim.kind} of {claim.sku}?"
        await tell(ctx, session, "reminder", text, about=claim, phase=4, reminders=question.reminders)


def _reminder_at(question: Question, settings: ClaimsSettings) -> datetime:
    # Not by counting from the beginning: who was away for long reminds once, not of every time that was missed.
    return (question.reminded_at or question.asked_at) + timedelta(seconds=settings.remind_after_s)


app = service_app(ask_seller)
