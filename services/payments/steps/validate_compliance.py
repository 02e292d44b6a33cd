"""Screen sender and recipient: sanctions, verification tier, velocity, risk."""

from datetime import timedelta

from sqlmodel import col, func, select

from contracts.payments import ComplianceValidated, ValidateCompliance
from events.database import one_at_a_time
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.market import market
from services.payments.rules import VELOCITY_WINDOW_S, assess
from services.payments.tables import ScreenedPayment

DATABASE = StepDatabase("validate_compliance", tables=(ScreenedPayment,))


@action("payments.validate_compliance", database=DATABASE)
async def validate_compliance(ctx: ActionContext, command: ValidateCompliance) -> ComplianceValidated:
    assessment = assess(market(), command, await _recent_payments(ctx, command.sender.account))
    if assessment.problem is not None:
        raise Refused(
            assessment.problem.code,
            assessment.problem.message,
            details={"risk_score": assessment.risk_score, "best_match": assessment.best_match},
        )
    ctx.db.add(
        ScreenedPayment(
            saga_id=ctx.saga_id,
            account=command.sender.account,
            amount_usd=command.amount_usd,
            risk_score=assessment.risk_score,
            screened_at=ctx.now(),
        )
    )
    return ComplianceValidated(
        risk_score=assessment.risk_score,
        screening=command.screening,
        best_match=assessment.best_match,
        reasons=assessment.reasons,
    )


# A rehearsal is rolled back, so that it may be the real thing.
validate_compliance.rehearsal(validate_compliance.handler)


async def _recent_payments(ctx: ActionContext, account: str) -> int:
    # What is being screened at the same time counts too.
    await one_at_a_time(ctx.db, f"velocity of {account}")
    since = ctx.now() - timedelta(seconds=VELOCITY_WINDOW_S)
    query = (
        select(func.count())
        .select_from(ScreenedPayment)
        .where(ScreenedPayment.account == account, col(ScreenedPayment.screened_at) >= since)
    )
    return (await ctx.db.exec(query)).one()


app = service_app(validate_compliance)
