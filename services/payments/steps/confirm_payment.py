"""Confirm the payment: a numbered receipt, sent to the recipient's phone.

The message goes out first and once per key, so after a crash the receipt is noted without a second message.
A message cannot be called back: a payment cancelled in the moment of its confirmation leaves a receipt, and
the books do not count it.
"""

import hashlib

from pydantic_core import to_json

from contracts.failure import InvalidContract
from contracts.payments import ConfirmPayment, PaymentConfirmed, ReceiptIssued
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.operator_client import operator_client
from services.payments.ports import MobileMoneyOperator
from services.payments.tables import Receipt

DATABASE = StepDatabase("confirm_payment", tables=(Receipt,))


@action(
    "payments.confirm_payment",
    database=DATABASE,
    external=True,
    resource=operator_client,
    emits=(ReceiptIssued,),
)
async def confirm_payment(ctx: ActionContext, command: ConfirmPayment) -> PaymentConfirmed:
    operator: MobileMoneyOperator = ctx.resource
    number = receipt_number(ctx.saga_id)
    text = f"{number}: you have received {command.paid}, reference {command.reference}"
    async with ctx.breaker(f"operator.{command.operator}"):
        delivered = await operator.notify(command.operator, command.phone, ctx.key, text)
    if not delivered:
        raise Refused("confirmation.undeliverable", "the operator cannot deliver messages to this number")
    receipt = await _receipt(ctx, command, number)
    return PaymentConfirmed(
        receipt_number=receipt.receipt_number, receipt_hash=receipt.hash, confirmed_at=receipt.confirmed_at
    )


@confirm_payment.rehearsal
async def confirm_nothing(ctx: ActionContext, command: ConfirmPayment) -> PaymentConfirmed:
    """The receipt as it would be; it is neither sent nor noted."""
    number = receipt_number(ctx.saga_id)
    return PaymentConfirmed(
        receipt_number=number, receipt_hash=receipt_hash(number, command), confirmed_at=ctx.now()
    )


async def _receipt(ctx: ActionContext, command: ConfirmPayment, number: str) -> Receipt:
    """The receipt as it is noted, which is the first one of this payment."""
    if ctx.database is None:
        raise InvalidContract("confirm_payment needs its database")
    async with ctx.database.transaction() as session:
        receipt = await session.get(Receipt, number)
        if receipt is None:
            receipt = Receipt(
                receipt_number=number,
                saga_id=ctx.saga_id,
                reference=command.reference,
                hash=receipt_hash(number, command),
                confirmed_at=ctx.now(),
            )
            session.add(receipt)
            issued = ReceiptIssued(
                reference=receipt.reference,
                receipt_number=number,
                receipt_hash=receipt.hash,
                paid=command.paid,
                confirmed_at=receipt.confirmed_at,
            )
            await ctx.emit(issued, session=session)
        return receipt


def receipt_number(saga_id: str) -> str:
    """The number belongs to the saga, so that every attempt writes the same receipt."""
    return f"R-{hashlib.sha256(saga_id.encode()).hexdigest()[:16].upper()}"


def receipt_hash(number: str, command: ConfirmPayment) -> str:
    """SHA-256 of everything the receipt says."""
    return hashlib.sha256(to_json([number, command.model_dump(mode="json")])).hexdigest()


app = service_app(confirm_payment)
