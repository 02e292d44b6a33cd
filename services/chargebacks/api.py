"""What the chargebacks answer over HTTP themselves: the review queue, what became of claims, and the trail.

People decide by the signal to the step that asks (`saga signal`); here they see what is asked.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import col, select

from contracts.chargebacks import Finding
from contracts.failure import NotFound
from contracts.money import Money
from events.columns import utc_text
from events.database import Database
from saga.action import Action
from saga.cursors import fingerprint, read_moment, write_cursor
from saga.service import Databases, ServiceSettings
from services.chargebacks.queue import Place, Queue
from services.chargebacks.steps.chargeback_resolution import chargeback_resolution
from services.chargebacks.steps.compliance_trail import compliance_trail
from services.chargebacks.steps.review import review
from services.chargebacks.tables import Resolution, ReviewCase, TrailDocument

_BATCH = 200


class _Shown(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReviewShown(_Shown):
    """A case. `signal` is where the decision goes; `problem` says why the last signal was none."""

    saga_id: str
    step: str
    state: str
    reference: str
    name: str
    findings: list[Finding]
    claim: dict[str, Any] | None
    draft: dict[str, Any] | None
    metadata: dict[str, str]
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    answer: dict[str, Any] | None
    problem: str
    signal: str


class ReviewPage(_Shown):
    items: list[ReviewShown]
    next_cursor: str | None


class ResolutionShown(_Shown):
    """What was decided; `reversed` if the saga turned round afterwards."""

    saga_id: str
    reference: str
    outcome: str
    credited: Money
    credit_memo: str | None
    state: str
    resolved_at: datetime


class _Asked(_Shown):
    state: Literal["open", "closed", "withdrawn"] = "open"
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


@asynccontextmanager
async def open_api(
    settings: ServiceSettings, environment: Mapping[str, str]
) -> AsyncIterator[Sequence[APIRouter]]:
    """The routers, over the databases that the steps use."""
    async with AsyncExitStack() as stack:
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        yield (
            reviews(await _of(databases, review)),
            trail(await _of(databases, compliance_trail)),
            resolutions(await _of(databases, chargeback_resolution)),
        )


def reviews(database: Database) -> APIRouter:
    """The routes of the review queue."""
    routes = APIRouter(prefix="/api/v1/chargebacks/reviews", tags=["chargebacks"])
    queue = Queue(database)

    @routes.get("", operation_id="listReviews")
    async def page(asked: Annotated[_Asked, Query()]) -> ReviewPage:
        question = fingerprint(f"reviews {asked.state}")
        after = read_moment(asked.cursor, question) if asked.cursor else None
        found = await queue.page(asked.state, after, asked.limit + 1)
        items = found[: asked.limit]
        cursor = None
        if len(found) > asked.limit:
            last = items[-1]
            cursor = write_cursor([utc_text(last.opened_at), f"{last.saga_id} {last.step}"], question)
        return ReviewPage(items=[_shown(case) for case in items], next_cursor=cursor)

    @routes.get("/{saga_id}/{step}", operation_id="getReview")
    async def get(saga_id: str, step: str) -> ReviewShown:
        return _shown(await queue.get(Place(saga_id, step)))

    return routes


def trail(database: Database) -> APIRouter:
    """The routes of the compliance trail."""
    routes = APIRouter(prefix="/api/v1/chargebacks/trail", tags=["chargebacks"])

    @routes.get("", operation_id="exportTrail", response_class=StreamingResponse)
    async def export(after: Annotated[int, Query(ge=0)] = 0) -> StreamingResponse:
        """Every document from a number on, as JSON lines: what `python -m services.chargebacks.trail` checks."""
        return StreamingResponse(_lines(database, after), media_type="application/jsonl")

    @routes.get("/{saga_id}", operation_id="getTrail")
    async def get(saga_id: str) -> list[dict[str, Any]]:
        async with database.transaction() as session:
            query = select(TrailDocument).where(TrailDocument.saga_id == saga_id)
            found = (await session.exec(query.order_by(col(TrailDocument.number)))).all()
        if not found:
            raise NotFound(f"the trail has no document of saga {saga_id}")
        return [row.document for row in found]

    return routes


def resolutions(database: Database) -> APIRouter:
    """The routes of decisions."""
    routes = APIRouter(prefix="/api/v1/chargebacks/resolutions", tags=["chargebacks"])

    @routes.get("/{saga_id}", operation_id="getResolution")
    async def get(saga_id: str) -> ResolutionShown:
        async with database.transaction() as session:
            found = await session.get(Resolution, saga_id)
        if found is None:
            raise NotFound(f"nothing is decided of saga {saga_id}")
        credited = Money(amount=found.credited, currency=found.currency)
        return ResolutionShown(**found.model_dump(exclude={"credited", "currency"}), credited=credited)

    return routes


async def _lines(database: Database, after: int) -> AsyncIterator[str]:
    while True:
        # In pieces, so that a reader who takes its time holds up nobody who writes.
        async with database.transaction() as session:
            query = select(TrailDocument).where(col(TrailDocument.number) > after)
            rows = (await session.exec(query.order_by(col(TrailDocument.number)).limit(_BATCH))).all()
        for row in rows:
            yield json.dumps(row.document, separators=(",", ":")) + "\n"
        if len(rows) < _BATCH:
            return
        after = rows[-1].number or after


def _shown(case: ReviewCase) -> ReviewShown:
    return ReviewShown(
        **case.model_dump(exclude={"shown"}),
        findings=case.shown["findings"],
        claim=case.shown.get("claim"),
        draft=case.shown.get("draft"),
        metadata=case.shown.get("metadata", {}),
        signal=f"/api/v1/sagas/{case.saga_id}/steps/{case.step}/signal",
    )


async def _of(databases: Databases, step: Action) -> Database:
    database = await databases.open(step)
    if database is None:
        raise AssertionError(f"{step.name} has a database")
    return database
