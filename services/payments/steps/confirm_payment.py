"""Confirm the payment: a numbered receipt, delivered to the recipient's phone."""

import hashlib

from pydantic_core import to_json

from contracts.payments import ConfirmPayment, PaymentConfirmed
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.operator_client import operator_client
from services.payments.tables import Receipt

DATABASE = StepDatabase("confirm_payment", tables=(Receipt,))


@action("payments.confirm_payment", database=DATABASE, resource=operator_client)
async def confirm_payment(ctx: ActionContext, command: ConfirmPayment) -> PaymentConfirmed:
    number = f"R-{ctx.saga_id[-12:].upper()}"
    digest = hashlib.sha256(to_json([number, command.model_dump(mode="json")])).hexdigest()
    if not await ctx.resource.notify(command.recipient.operator, command.recipient.phone, ctx.key, number):
        raise Refused("confirmation.undeliverable", "the operator cannot deliver the receipt to this number")
    ctx.db.add(
        Receipt(
            receipt_number=number,
            saga_id=ctx.saga_id,
            reference=command.reference,
            hash=digest,
            confirmed_at=ctx.now(),
        )
    )
    return PaymentConfirmed(receipt_number=number, receipt_hash=digest, confirmed_at=ctx.now())


app = service_app(confirm_payment)
