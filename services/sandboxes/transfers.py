"""What the sandbox's operators have done: every movement is a line that is never changed.

There is no unique constraint on the key: that a key pays once is kept by the transaction, and whoever
reads the statement can see whether it was.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from events.columns import DecimalText, UtcText
from events.database import Database

PAYOUT, REVERSAL, BAR = "payout", "reversal", "bar"


class Movement(SQLModel, table=True):
    """A payout, its reversal, or a bar: the reversal of a payout that had not come, and never may."""

    __tablename__ = "movements"

    number: int | None = Field(default=None, primary_key=True)
    key: str = Field(index=True)
    kind: str
    operator: str
    reference: str
    phone: str = ""
    amount: Decimal = Field(default=Decimal(0), sa_type=DecimalText)
    currency: str = ""
    at: datetime = Field(sa_type=UtcText)


class Notice(SQLModel, table=True):
    """A message that was delivered."""

    __tablename__ = "notices"

    key: str = Field(primary_key=True)
    operator: str
    phone: str
    text: str


TABLES = (Movement.__table__, Notice.__table__)  # type: ignore[attr-defined]


async def movements_of(session: AsyncSession, key: str) -> dict[str, Movement]:
    """The first movement of each kind that the key has."""
    query = select(Movement).where(Movement.key == key).order_by(col(Movement.number).desc())
    return {movement.kind: movement for movement in (await session.exec(query)).all()}


async def read_statement(database: Database) -> list[dict[str, Any]]:
    """Every movement, oldest first; amounts as decimal text."""
    async with database.transaction() as session:
        movements: Sequence[Movement] = (
            await session.exec(select(Movement).order_by(col(Movement.number)))
        ).all()
    return [movement.model_dump(mode="json") for movement in movements]
