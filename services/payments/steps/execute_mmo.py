"""Let the mobile-money operator pay out, over HTTP, once per key; undo: have it reversed by the same key.

A breaker per operator: while one is down its payments wait, and the others go on.
"""

from contracts.payments import ExecuteMmo, MmoExecuted
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.operator_client import operator_client
from services.payments.ports import Disbursement, MobileMoneyOperator

DATABASE = StepDatabase("execute_mmo")


@action("payments.execute_mmo", database=DATABASE, external=True, resource=operator_client)
async def execute_mmo(ctx: ActionContext, command: ExecuteMmo) -> MmoExecuted:
    if ctx.attempt == 1 and ctx.now() >= command.rate_expires_at:
        # Only before the first try: a later one may belong to a payout that has already happened.
        raise Refused("operator.rate_expired", f"the rate was locked until {command.rate_expires_at}")
    operator: MobileMoneyOperator = ctx.resource
    async with ctx.breaker(f"operator.{command.operator}"):
        reference = await operator.disburse(
            Disbursement(key=ctx.key, operator=command.operator, phone=command.phone, amount=command.payout)
        )
    return MmoExecuted(operator=command.operator, operator_reference=reference, paid=command.payout)


@execute_mmo.compensation
async def reverse_mmo(ctx: ActionContext, command: ExecuteMmo, output: MmoExecuted | None) -> None:
    operator: MobileMoneyOperator = ctx.resource
    async with ctx.breaker(f"operator.{command.operator}"):
        await operator.reverse(command.operator, ctx.key)


app = service_app(execute_mmo)
