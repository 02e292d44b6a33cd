"""What the seller is told: an event on the bus, committed with what it tells of."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.claims import NotificationKind, SellerNotified
from events.database import Database
from saga.action import ActionContext
from services.claims.tables import Claim


async def tell(
    ctx: ActionContext,
    session: AsyncSession,
    kind: NotificationKind,
    text: str,
    *,
    about: Claim | str,
    phase: int,
    claim_id: str | None = None,
    **details: Any,
) -> None:
    """Tell the seller about a claim or an account. Call it last in the transaction: the outbox orders commits."""
    event = SellerNotified(
        account_id=about.account_id if isinstance(about, Claim) else about,
        kind=kind,
        text=text[:500],
        phase=phase,
        claim_id=about.claim_id if isinstance(about, Claim) else claim_id,
        details=details,
    )
    await ctx.emit(event, key=event.account_id, session=session)


def database_of(ctx: ActionContext) -> Database:
    """The open database of a step that keeps its own account."""
    if ctx.database is None:
        raise AssertionError(f"{ctx.action} is given its database open")
    return ctx.database
