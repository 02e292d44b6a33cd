"""Book a payout and compare it with what was still claimed, to the cent."""

from decimal import Decimal

from sqlmodel import select

from contracts.claims import ClaimStatus, PayoutReconciled, ReconcilePayout, SellerNotified
from contracts.money import Money
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.fees import verdict
from services.claims.store import claim_of, move
from services.claims.tables import DATABASE, PayoutEntry
from services.claims.telling import tell


@action("claims.reconcile_payout", database=DATABASE, emits=(SellerNotified,))
async def reconcile_payout(ctx: ActionContext, command: ReconcilePayout) -> PayoutReconciled:
    claim = await claim_of(ctx.db, command.claim_id)
    if command.amount.currency != claim.currency:
        raise Refused(
            "payout.other_currency", f"claimed in {claim.currency}, paid in {command.amount.currency}"
        )
    earlier = await ctx.db.exec(select(PayoutEntry).where(PayoutEntry.claim_id == claim.claim_id))
    paid_before = sum((entry.paid for entry in earlier.all()), Decimal(0))
    open_amount = max(claim.amount - paid_before, Decimal(0))
    claimed = Money(amount=open_amount, currency=claim.currency)
    judged, difference = verdict(claimed, command.amount), command.amount - claimed
    ctx.db.add(
        PayoutEntry(
            payout_id=command.payout_id, claim_id=claim.claim_id, account_id=claim.account_id,
            case_id=command.case_id, claimed=claimed.amount, paid=command.amount.amount,
            difference=difference.amount, verdict=judged, currency=claim.currency, at=ctx.now(),
        )
    )  # fmt: skip
    move(ctx.db, claim, ClaimStatus.PAID, ctx.now())
    text = f"{command.amount} paid for {claim.kind} of {claim.sku}" + (
        "" if judged == "exact" else f", {judged}"
    )
    await tell(ctx, ctx.db, "payout_received", text, about=claim, phase=7, payout_id=command.payout_id)
    return PayoutReconciled(claimed=claimed, paid=command.amount, difference=difference, verdict=judged)


app = service_app(reconcile_payout)
