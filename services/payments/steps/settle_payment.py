"""Book the payment in the settlement ledger; undo: book the reversing entry. Both tell everyone."""

from contracts.payments import PaymentSettled, SettlementBooked, SettlementReversed, SettlePayment
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.payments.ledger import SqlLedger
from services.payments.ports import Posting, SettlementLedger
from services.payments.tables import LedgerEntry, LedgerPosting

DATABASE = StepDatabase("settle_payment", tables=(LedgerEntry, LedgerPosting))


@action("payments.settle_payment", database=DATABASE, emits=(SettlementBooked, SettlementReversed))
async def settle_payment(ctx: ActionContext, command: SettlePayment) -> PaymentSettled:
    entry = await _ledger(ctx).book(ctx.key, f"payment {command.reference}", postings(command))
    await ctx.emit(
        SettlementBooked(
            reference=command.reference,
            amount=command.amount,
            fee=command.fee,
            payout=command.payout,
            operator=command.operator,
            entry=entry.number,
            entry_hash=entry.hash,
        )
    )
    return PaymentSettled(entry=entry.number, entry_hash=entry.hash)


# A rehearsal is rolled back, so that it may be the real thing.
settle_payment.rehearsal(settle_payment.handler)


@settle_payment.compensation
async def reverse_settlement(
    ctx: ActionContext, command: SettlePayment, output: PaymentSettled | None
) -> None:
    entry = await _ledger(ctx).reverse(ctx.key, f"{ctx.key}.reversal")
    await ctx.emit(SettlementReversed(reference=command.reference, entry=entry.number, entry_hash=entry.hash))


def _ledger(ctx: ActionContext) -> SettlementLedger:
    return SqlLedger(ctx.db, ctx.now())


def postings(command: SettlePayment) -> tuple[Posting, ...]:
    """What moves: the sender's money in; fee and exchange position, and the operator's payout, out."""
    source, destination = command.amount.currency, command.payout.currency
    exchanged = command.amount - command.fee
    return (
        Posting("senders", source, command.amount.amount),
        Posting("fees", source, -command.fee.amount),
        Posting("exchange", source, -exchanged.amount),
        Posting("exchange", destination, command.payout.amount),
        Posting(f"operator.{command.operator}", destination, -command.payout.amount),
    )


app = service_app(settle_payment)
