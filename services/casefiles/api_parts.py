"""What the routes of casefiles and sessions share: who asks, pages, and what a refusal is over HTTP."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.casefiles import RecordId, UserId
from contracts.failure import Conflict, Forbidden, NotFound, SagaError
from events.database import Database
from saga.action import Refused
from saga.cursors import write_cursor

Asking = Annotated[UserId, Header(alias="Saga-User", description="who asks")]
CasefileId = Annotated[RecordId, Path()]
SessionId = Annotated[RecordId, Path()]
_ERRORS: dict[str, type[SagaError]] = {
    "casefile.unknown": NotFound,
    "casefile.forbidden": Forbidden,
    "session.unknown": NotFound,
    "session.elsewhere": Conflict,
}


class PageAsked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction whose refusals are errors of the request."""
    try:
        async with database.transaction() as session:
            yield session
    except Refused as error:
        raise _ERRORS[error.failure.code](str(error)) from error


def page_of[T](
    found: Sequence[T], limit: int, question: str, place: Callable[[T], Sequence[str]]
) -> tuple[list[T], str | None]:
    """The items of a page, of which one more was looked for, and the cursor of the next."""
    items = list(found[:limit])
    return items, write_cursor(place(items[-1]), question) if len(found) > limit else None
