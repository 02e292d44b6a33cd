"""Reserve what will be paid out in the destination currency's pool; undo: release it."""

from decimal import Decimal

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.ids import new_saga_id
from contracts.payments import CheckLiquidity, LiquidityReserved
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.payments.market import market
from services.payments.rules import indicative
from services.payments.tables import Pool, PoolEntry


async def fund_pools(session: AsyncSession) -> None:
    """What the pools hold at the start. Pools that are there already stay as they are."""
    known = set((await session.exec(select(Pool.currency))).all())
    for currency, held in market().pools.items():
        if currency not in known:
            session.add(Pool(currency=currency, held=held, free=held))


DATABASE = StepDatabase("check_liquidity", tables=(Pool, PoolEntry), seed=fund_pools)


@action("payments.check_liquidity", database=DATABASE)
async def check_liquidity(ctx: ActionContext, command: CheckLiquidity) -> LiquidityReserved:
    pool = await _pool(ctx, command.currency)
    if pool is None or command.amount.currency not in market().rates:
        raise Refused("liquidity.no_pool", f"no pool of {command.currency} for {command.amount.currency}")
    wanted = indicative(market(), command.amount, command.currency)
    if pool.free < wanted.amount:
        raise Refused("liquidity.insufficient", f"the {command.currency} pool cannot set aside {wanted}")
    reservation = new_saga_id()
    _move(ctx, pool, reservation, -wanted.amount, "reserve")
    return LiquidityReserved(reservation_id=reservation, reserved=wanted)


# A rehearsal is rolled back, so that it may be the real thing.
check_liquidity.rehearsal(check_liquidity.handler)


@check_liquidity.compensation
async def release_liquidity(
    ctx: ActionContext, command: CheckLiquidity, output: LiquidityReserved | None
) -> None:
    reserved = (
        await ctx.db.exec(
            select(PoolEntry).where(PoolEntry.saga_id == ctx.saga_id, PoolEntry.kind == "reserve")
        )
    ).one()
    pool = await _pool(ctx, reserved.currency)
    assert pool is not None
    _move(ctx, pool, reserved.reservation_id, -reserved.change, "release")


async def _pool(ctx: ActionContext, currency: str) -> Pool | None:
    return (await ctx.db.exec(select(Pool).where(Pool.currency == currency).with_for_update())).one_or_none()


def _move(ctx: ActionContext, pool: Pool, reservation: str, change: Decimal, kind: str) -> None:
    pool.free += change
    ctx.db.add(pool)
    ctx.db.add(
        PoolEntry(
            reservation_id=reservation,
            saga_id=ctx.saga_id,
            currency=pool.currency,
            change=change,
            kind=kind,
            at=ctx.now(),
        )
    )


app = service_app(check_liquidity)
