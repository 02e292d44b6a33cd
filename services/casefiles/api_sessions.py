"""`/api/v1/casefile-sessions`: the sessions of who asks, the history of each, and what is said in it."""

import re
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from contracts.casefile_records import (
    ExecutionPage,
    Message,
    MessagePage,
    NewMessage,
    NewSession,
    Session,
    SessionLink,
    SessionPage,
)
from contracts.failure import InvalidContract
from events.clock import Clock
from events.database import Database
from saga.cursors import fingerprint, read_cursor
from services.casefiles import messages, sessions
from services.casefiles.api_parts import Asking, PageAsked, SessionId, page_of, transaction
from services.casefiles.executions import executions

_NOT_ONE = "the cursor is not one of this query: begin again without it"


def router(database: Database, clock: Clock) -> APIRouter:
    """The routes over the database of casefiles."""
    routes = APIRouter(prefix="/api/v1/casefile-sessions", tags=["casefile sessions"])

    @routes.post("", status_code=201, operation_id="openSession")
    async def find_or_create(asking: Asking, body: NewSession, response: Response) -> Session:
        """201 if it is new, 200 if it was found."""
        wanted = sessions.WantedSession(
            user_id=asking, kind=body.kind, name=body.name, casefile_id=body.casefile_id
        )
        async with transaction(database) as session:
            found = await sessions.find_or_create(session, wanted, clock(), kept=True)
        response.status_code = 201 if found.created else 200
        response.headers["Location"] = f"/api/v1/casefile-sessions/{found.session.session_id}"
        return found.session

    @routes.get("", operation_id="listSessions")
    async def page(asking: Asking, asked: Annotated[PageAsked, Query()]) -> SessionPage:
        question = fingerprint(("sessions", asking))
        place = tuple(read_cursor(asked.cursor, question, 1)) if asked.cursor else ()
        async with transaction(database) as session:
            found = await sessions.sessions_of(session, asking, place, asked.limit + 1)
        items, after = page_of(found, asked.limit, question, lambda one: [one.session_id])
        return SessionPage(items=items, next_cursor=after)

    @routes.get("/{session_id}", operation_id="getSession")
    async def get(asking: Asking, session_id: SessionId) -> Session:
        async with transaction(database) as session:
            return await sessions.own_session(session, session_id, asking)

    @routes.put("/{session_id}/casefile", operation_id="linkSession")
    async def link(asking: Asking, session_id: SessionId, body: SessionLink) -> Session:
        async with transaction(database) as session:
            linked, _ = await sessions.link(session, session_id, body.casefile_id, asking)
        return linked

    @routes.get("/{session_id}/executions", operation_id="listSessionExecutions")
    async def history(
        asking: Asking, session_id: SessionId, asked: Annotated[PageAsked, Query()]
    ) -> ExecutionPage:
        """Every step of every saga that works in it, the newest decision first."""
        question = fingerprint(("executions", session_id))
        place = _moment(asked.cursor, question) if asked.cursor else None
        async with transaction(database) as session:
            await sessions.own_session(session, session_id, asking)
            found = await executions(session, session_id, place, asked.limit + 1)
        items, after = page_of(
            found, asked.limit, question, lambda one: [one.at.isoformat(), one.saga_id, one.step]
        )
        return ExecutionPage(items=items, next_cursor=after)

    @routes.post("/{session_id}/messages", status_code=201, operation_id="addMessage")
    async def say(asking: Asking, session_id: SessionId, body: NewMessage) -> Message:
        """409 in a tool session."""
        async with transaction(database) as session:
            opened = await sessions.own_session(session, session_id, asking)
            return await messages.add(session, opened, body, clock())

    @routes.get("/{session_id}/messages", operation_id="listMessages")
    async def said(
        asking: Asking, session_id: SessionId, asked: Annotated[PageAsked, Query()]
    ) -> MessagePage:
        """In the order in which they were said."""
        question = fingerprint(("messages", session_id))
        after = _number(asked.cursor, question) if asked.cursor else 0
        async with transaction(database) as session:
            await sessions.own_session(session, session_id, asking)
            found = await messages.after(session, session_id, after, asked.limit + 1)
        items, cursor = page_of(found, asked.limit, question, lambda one: [str(one.number)])
        return MessagePage(items=items, next_cursor=cursor)

    return routes


def _moment(cursor: str, question: str) -> tuple[datetime, str, str]:
    at, saga_id, step = read_cursor(cursor, question, 3)
    try:
        return datetime.fromisoformat(at), saga_id, step
    except ValueError as error:
        raise InvalidContract(_NOT_ONE) from error


def _number(cursor: str, question: str) -> int:
    (number,) = read_cursor(cursor, question, 1)
    if not re.fullmatch(r"\d{1,18}", number):
        raise InvalidContract(_NOT_ONE)
    return int(number)
