"""What is said in chat sessions."""

from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefile_records import Message, NewMessage, Session
from contracts.failure import Conflict
from services.casefiles.tables import MessageRow


async def add(session: AsyncSession, opened: Session, message: NewMessage, now: datetime) -> Message:
    """Add a message. Raises Conflict: nobody talks in a tool session."""
    if opened.kind != "chat":
        raise Conflict(f"session {opened.session_id} is a {opened.kind} session: open one of kind chat")
    row = MessageRow(session_id=opened.session_id, role=message.role, text=message.text, at=now)
    session.add(row)
    await session.flush()
    return _told(row)


async def after(session: AsyncSession, session_id: str, number: int, limit: int) -> list[Message]:
    """The messages of a session after a number, in the order in which they were said."""
    query = (
        select(MessageRow)
        .where(MessageRow.session_id == session_id, col(MessageRow.number) > number)
        .order_by(col(MessageRow.number))
        .limit(limit)
    )
    return [_told(row) for row in (await session.exec(query)).all()]


def _told(row: MessageRow) -> Message:
    return Message.model_validate(row.model_dump(exclude={"session_id"}))
