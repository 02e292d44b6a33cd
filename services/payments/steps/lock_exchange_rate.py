"""Lock an exchange rate until it expires; undo: release it."""

from datetime import timedelta

from sqlmodel import select

from contracts.ids import new_saga_id
from contracts.payments import LockExchangeRate, RateLocked
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.market import market
from services.payments.rules import quote
from services.payments.tables import RateLock

DATABASE = StepDatabase("lock_exchange_rate", tables=(RateLock,))


@action("payments.lock_exchange_rate", database=DATABASE)
async def lock_exchange_rate(ctx: ActionContext, command: LockExchangeRate) -> RateLocked:
    if not {command.currency, command.amount.currency} <= market().rates.keys():
        raise Refused("rate.none", f"no rate from {command.amount.currency} to {command.currency}")
    price = quote(market(), command.amount, command.currency, command.route_cost_bps)
    lock = RateLock(
        lock_id=new_saga_id(),
        saga_id=ctx.saga_id,
        source_currency=command.amount.currency,
        currency=command.currency,
        rate=price.rate,
        payout=price.payout.amount,
        status="locked",
        expires_at=ctx.now() + timedelta(seconds=market().rate_lock_s),
    )
    ctx.db.add(lock)
    return RateLocked(
        lock_id=lock.lock_id, rate=price.rate, fee=price.fee, payout=price.payout, expires_at=lock.expires_at
    )


# A rehearsal is rolled back, so that it may be the real thing.
lock_exchange_rate.rehearsal(lock_exchange_rate.handler)


@lock_exchange_rate.compensation
async def release_rate(ctx: ActionContext, command: LockExchangeRate, output: RateLocked | None) -> None:
    lock = (await ctx.db.exec(select(RateLock).where(RateLock.saga_id == ctx.saga_id))).one()
    lock.status = "released"
    ctx.db.add(lock)


app = service_app(lock_exchange_rate)
