"""Check the payment against the business rules: currencies, corridor, limits, phone numbers."""

from contracts.payments import PaymentValidated, ValidatePayment
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.payments.market import market
from services.payments.rules import corridor_of, in_usd, normalized_phone, validation_problem


@action("payments.validate_payment", reads_only=True)
async def validate_payment(ctx: ActionContext, command: ValidatePayment) -> PaymentValidated:
    if problem := validation_problem(market(), command):
        raise Refused(problem.code, problem.message)
    return PaymentValidated(
        corridor=corridor_of(command.sender.country, command.recipient.country),
        amount_usd=in_usd(market(), command.amount),
        recipient_phone=normalized_phone(command.recipient.phone, command.recipient.country) or "",
    )


app = service_app(validate_payment)
