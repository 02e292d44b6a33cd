"""Let the mobile-money operator pay out, over HTTP, once per key; undo: have it reversed by the same key.

A breaker per operator: while one is down its payments wait, and the others go on. A payout whose answer was
lost is found again by its key, also when the rate has expired meanwhile.
"""

from contracts.ids import new_saga_id
from contracts.payments import ExecuteMmo, MmoExecuted
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.operator_client import operator_client
from services.payments.ports import Disbursement, MobileMoneyOperator

DATABASE = StepDatabase("execute_mmo")


@action("payments.execute_mmo", database=DATABASE, external=True, resource=operator_client)
async def execute_mmo(ctx: ActionContext, command: ExecuteMmo) -> MmoExecuted:
    operator: MobileMoneyOperator = ctx.resource
    async with ctx.breaker(f"operator.{command.operator}"):
        if ctx.now() < command.rate_expires_at:
            order = Disbursement(
                key=ctx.key, operator=command.operator, phone=command.phone, amount=command.payout
            )
            reference = await operator.disburse(order)
        else:
            reference = await _paid_before(ctx, operator, command)
    return MmoExecuted(operator=command.operator, operator_reference=reference, paid=command.payout)


async def _paid_before(ctx: ActionContext, operator: MobileMoneyOperator, command: ExecuteMmo) -> str:
    """The reference of an earlier try's payout. Raises Refused if there is none."""
    reference = await operator.find(command.operator, ctx.key)
    if reference is None:
        # An earlier try may still be on its way to the operator: only once it is barred there is no effect.
        await operator.reverse(command.operator, ctx.key)
        raise _rate_expired(command)
    return reference


def _rate_expired(command: ExecuteMmo) -> Refused:
    return Refused(
        "operator.rate_expired", f"the rate was locked until {command.rate_expires_at.isoformat()}"
    )


@execute_mmo.rehearsal
async def execute_nothing(ctx: ActionContext, command: ExecuteMmo) -> MmoExecuted:
    """As an operator answers that pays at once."""
    if ctx.now() >= command.rate_expires_at:
        raise _rate_expired(command)
    reference = f"rehearsal-{new_saga_id()}"
    return MmoExecuted(operator=command.operator, operator_reference=reference, paid=command.payout)


@execute_mmo.compensation
async def reverse_mmo(ctx: ActionContext, command: ExecuteMmo, output: MmoExecuted | None) -> None:
    operator: MobileMoneyOperator = ctx.resource
    async with ctx.breaker(f"operator.{command.operator}"):
        await operator.reverse(command.operator, ctx.key)


app = service_app(execute_mmo)
