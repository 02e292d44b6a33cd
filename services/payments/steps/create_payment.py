"""Create the payment as an order; undo: cancel it."""

from sqlmodel import select

from contracts.ids import new_saga_id
from contracts.payments import CreatePayment, PaymentCreated
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.payments.tables import Payment

DATABASE = StepDatabase("create_payment", tables=(Payment,))


@action("payments.create_payment", database=DATABASE)
async def create_payment(ctx: ActionContext, command: CreatePayment) -> PaymentCreated:
    payment = Payment(
        payment_id=new_saga_id(),
        saga_id=ctx.saga_id,
        reference=command.reference,
        amount=command.amount.amount,
        currency=command.amount.currency,
        sender_account=command.sender_account,
        status="created",
        created_at=ctx.now(),
    )
    ctx.db.add(payment)
    return PaymentCreated(
        payment_id=payment.payment_id, reference=payment.reference, created_at=payment.created_at
    )


# A rehearsal is rolled back, so that it may be the real thing.
create_payment.rehearsal(create_payment.handler)


@create_payment.compensation
async def cancel_payment(ctx: ActionContext, command: CreatePayment, output: PaymentCreated | None) -> None:
    payment = (await ctx.db.exec(select(Payment).where(Payment.saga_id == ctx.saga_id))).one()
    payment.status = "cancelled"
    ctx.db.add(payment)


app = service_app(create_payment)
