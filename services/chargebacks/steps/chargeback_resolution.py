"""Decide, and have SAP post the credit memo, over HTTP, once per key; undo: have it reversed. Both tell everyone.

The decision is noted, and told, after SAP has answered. After a crash between both SAP is asked again with the same
key, and answers the same.
"""

from contracts.chargebacks import ChargebackResolved, ResolutionReversed, ResolutionTold, ResolveChargeback
from contracts.failure import InvalidContract
from contracts.ids import new_saga_id
from events.database import Database
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.chargebacks.ports import Sap
from services.chargebacks.resolution import Resolved, resolve
from services.chargebacks.sap_client import BREAKER, sap_client
from services.chargebacks.tables import Resolution

DATABASE = StepDatabase("chargeback_resolution", tables=(Resolution,))


@action(
    "chargebacks.chargeback_resolution",
    database=DATABASE,
    external=True,
    resource=sap_client,
    emits=(ResolutionTold, ResolutionReversed),
)
async def chargeback_resolution(ctx: ActionContext, command: ResolveChargeback) -> ChargebackResolved:
    resolved = resolve(command)
    credit_memo = await _credited(ctx, command, resolved) if resolved.lines else None
    await _note(ctx, command, resolved, credit_memo)
    return _stated(command, resolved, credit_memo)


@chargeback_resolution.rehearsal
async def credit_nothing(ctx: ActionContext, command: ResolveChargeback) -> ChargebackResolved:
    """As SAP answers that posts the memo."""
    resolved = resolve(command)
    if not resolved.lines:
        return _stated(command, resolved, None)
    _customer(command, resolved)
    return _stated(command, resolved, f"rehearsal-{new_saga_id()}")


def _stated(command: ResolveChargeback, resolved: Resolved, credit_memo: str | None) -> ChargebackResolved:
    return ChargebackResolved(
        status=resolved.outcome,
        credited=resolved.credited,
        reasons=resolved.reasons,
        credit_memo=credit_memo,
        metadata=command.metadata | ({"credit_memo": credit_memo} if credit_memo else {}),
    )


async def _credited(ctx: ActionContext, command: ResolveChargeback, resolved: Resolved) -> str:
    customer_number = _customer(command, resolved)
    sap: Sap = ctx.resource
    async with ctx.breaker(BREAKER):
        return await sap.credit(
            ctx.key, customer_number, command.reference, resolved.credited, resolved.lines
        )


def _customer(command: ResolveChargeback, resolved: Resolved) -> str:
    if command.customer_number is None:
        raise Refused(
            "chargeback.no_customer", f"{resolved.credited} cannot be credited: SAP has no customer"
        )
    return command.customer_number


async def _note(
    ctx: ActionContext, command: ResolveChargeback, resolved: Resolved, credit_memo: str | None
) -> None:
    """Note the decision and tell it, unless it was noted, or taken back, before."""
    async with _database(ctx).transaction() as session:
        if await session.get(Resolution, ctx.saga_id) is not None:
            return
        session.add(_row(ctx, command, resolved, credit_memo, "stands"))
        told = ResolutionTold(
            reference=command.reference,
            outcome=resolved.outcome,
            credited=resolved.credited,
            credit_memo=credit_memo,
            reasons=resolved.reasons,
            resolved_at=ctx.now(),
        )
        await ctx.emit(told, session=session)


def _row(
    ctx: ActionContext, command: ResolveChargeback, resolved: Resolved, credit_memo: str | None, state: str
) -> Resolution:
    return Resolution(
        saga_id=ctx.saga_id,
        reference=command.reference,
        outcome=resolved.outcome,
        credited=resolved.credited.amount,
        currency=resolved.credited.currency,
        credit_memo=credit_memo,
        state=state,
        resolved_at=ctx.now(),
    )


@chargeback_resolution.compensation
async def reverse_resolution(
    ctx: ActionContext, command: ResolveChargeback, output: ChargebackResolved | None
) -> None:
    resolved = resolve(command)
    if resolved.lines:
        sap: Sap = ctx.resource
        async with ctx.breaker(BREAKER):
            await sap.reverse_credit(ctx.key)
    async with _database(ctx).transaction() as session:
        noted = await session.get(Resolution, ctx.saga_id)
        if noted is None:
            # A worker that was paused before its note finds this one, and tells nothing.
            session.add(_row(ctx, command, resolved, None, "reversed"))
        elif noted.state != "reversed":
            noted.state = "reversed"
            session.add(noted)
            told = ResolutionReversed(reference=command.reference, credit_memo=noted.credit_memo)
            await ctx.emit(told, session=session)


def _database(ctx: ActionContext) -> Database:
    if ctx.database is None:
        raise InvalidContract("chargeback_resolution needs its database")
    return ctx.database


app = service_app(chargeback_resolution)
