"""What is ours and what is the seller's of a payout."""

from contracts.claims import ChargeFee, FeeCharged
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.fees import shares
from services.claims.marketplace_client import Tools, tools
from services.claims.tables import DATABASE, PayoutEntry


@action("claims.charge_fee", database=DATABASE, resource=tools)
async def charge_fee(ctx: ActionContext, command: ChargeFee) -> FeeCharged:
    outside: Tools = ctx.resource
    entry = await ctx.db.get(PayoutEntry, command.payout_id, with_for_update=True)
    if entry is None:
        raise Refused("payout.unknown", f"no payout {command.payout_id}")
    split = shares(command.paid, outside.settings.fee_rate)
    entry.rate, entry.fee, entry.seller_share = (
        outside.settings.fee_rate, split.fee.amount, split.seller.amount,
    )  # fmt: skip
    ctx.db.add(entry)
    return FeeCharged(rate=outside.settings.fee_rate, fee=split.fee, seller_share=split.seller)


app = service_app(charge_fee)
