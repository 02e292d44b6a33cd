"""`/api/v1/sagas`: start, list, look into."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.directives import directives_of
from contracts.facts import STARTED_KEY, FactKind, Redriven
from contracts.failure import InvalidContract, NotFound
from contracts.subjects import partition_of
from saga.api.models import (
    FactAnswer,
    FactsAnswer,
    MomentAnswer,
    RedrivesAnswer,
    SagaAnswer,
    SagaCount,
    SagaPage,
    SagaSummary,
    StartAnswer,
    StartRequest,
    StatisticsAnswer,
    StatisticsPage,
    StepAnswer,
    TimelineAnswer,
)
from saga.api.parts import Parts
from saga.client import StartOptions
from saga.log.queries import Filter, SagaView
from saga.redriving.plan import redrive_id
from saga.state import SagaStatus
from saga.timeline import timeline

MAX_WAIT_S = 60.0


class Wanted(BaseModel):
    """The filters of a list; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")

    status: list[SagaStatus] = []
    definition: str | None = Field(default=None, description="name, or name@version")
    started_after: datetime | None = None
    started_before: datetime | None = None
    correlation_id: str | None = None
    label: list[str] = Field(default=[], description="name:value, all must be there")
    q: str | None = Field(default=None, max_length=64, description="beginning of a saga or correlation id")
    failure_code: str | None = Field(default=None, max_length=128, description="of a step's last failure")
    failure_step: str | None = Field(default=None, max_length=64, description="the step that failed")

    def filter(self) -> Filter:
        name, _, version = (self.definition or "").partition("@")
        return Filter(
            status=tuple(status.value for status in self.status),
            name=name or None,
            version=version or None,
            started_after=_aware(self.started_after, "started_after"),
            started_before=_aware(self.started_before, "started_before"),
            correlation_id=self.correlation_id,
            labels=tuple(label_of(text) for text in self.label),
            query=self.q,
            failure_code=self.failure_code,
            failure_step=self.failure_step,
        )


class WantedPage(Wanted):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/sagas", tags=["sagas"])

    @routes.post("", status_code=202, operation_id="startSaga")
    async def start(
        body: StartRequest,
        response: Response,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
        traceparent: Annotated[str, Header(max_length=128)] = "",
    ) -> StartAnswer:
        options = StartOptions(
            idempotency_key=idempotency_key,
            labels=body.labels,
            correlation_id=body.correlation_id,
            traceparent=traceparent,
            directives=body.directives,
            source="/api",
        )
        started = await parts.catalogue.start(body.definition, body.input, options)
        response.headers["Location"] = f"/api/v1/sagas/{started.saga_id}"
        if not started.created:
            response.headers["Idempotency-Replayed"] = "true"
        return StartAnswer(
            saga_id=started.saga_id,
            definition=started.definition,
            sequence=started.sequence,
            created=started.created,
        )

    @routes.get("", operation_id="listSagas")
    async def list_sagas(wanted: Annotated[WantedPage, Query()], response: Response) -> SagaPage:
        page = await parts.queries.page(wanted.filter(), limit=wanted.limit, cursor=wanted.cursor)
        stamp(response, page.as_of_sequence)
        return SagaPage(
            items=[SagaSummary.of(row) for row in page.items],
            next_cursor=page.next_cursor,
            as_of_sequence=page.as_of_sequence,
        )

    @routes.get("/count", operation_id="countSagas")
    async def count(wanted: Annotated[Wanted, Query()]) -> SagaCount:
        return SagaCount(count=await parts.queries.count(wanted.filter()))

    @routes.get("/stats", operation_id="sagaStatistics")
    async def statistics(definition: str | None = None) -> StatisticsPage:
        found = await parts.queries.statistics(definition)
        return StatisticsPage(
            items=[
                StatisticsAnswer(name=one.name, by_status=one.by_status, p50_ms=one.p50_ms, p99_ms=one.p99_ms)
                for one in found
            ]
        )

    @routes.get("/{saga_id}", operation_id="getSaga", response_model=SagaAnswer)
    async def get(
        saga_id: str,
        request: Request,
        response: Response,
        after_sequence: Annotated[int | None, Query(ge=0)] = None,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0,
    ) -> Any:
        view = await view_after(parts, saga_id, after_sequence, wait_s)
        if same := unchanged(view, request, response):
            return same
        return SagaAnswer(
            **SagaSummary.of(view.saga).model_dump(),
            input=view.saga["input"],
            abort=view.saga["abort"],
            labels=view.labels,
            steps=await step_answers(parts, view),
            redrives=await _redrives(parts, view),
            redriven_as=await _redriven_as(parts, view),
            as_of_sequence=view.as_of_sequence,
        )

    @routes.get("/{saga_id}/facts", operation_id="getFacts")
    async def facts(saga_id: str) -> FactsAnswer:
        found = await parts.queries.facts(saga_id)
        return FactsAnswer(
            items=[FactAnswer(sequence=one.sequence, fact=one.fact.model_dump(mode="json")) for one in found]
        )

    @routes.get("/{saga_id}/timeline", operation_id="getTimeline")
    async def told(saga_id: str) -> TimelineAnswer:
        moments = timeline(await parts.queries.facts(saga_id))
        return TimelineAnswer(
            items=[
                MomentAnswer(
                    sequence=moment.sequence, at=moment.at, offset_ms=moment.offset_ms, step=moment.step,
                    kind=moment.kind, text=moment.text,
                )
                for moment in moments
            ]
        )  # fmt: skip

    return routes


async def view_after(parts: Parts, saga_id: str, after_sequence: int | None, wait_s: float) -> SagaView:
    """The saga, once it is beyond a sequence or the time is over. One that the log has not heard of may be new.

    Raises NotFound.
    """
    if wait_s <= 0 or after_sequence is None:
        return await parts.queries.get(saga_id)
    projector = parts.log.projector
    partition = partition_of(saga_id, parts.bus.settings.partitions)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while True:
                applied = projector.positions.get(partition, 0)
                with suppress(NotFound):
                    view = await parts.queries.get(saga_id)
                    if view.saga["sequence"] > after_sequence:
                        return view
                await projector.wait_beyond(partition, applied)
    return await parts.queries.get(saga_id)


def unchanged(view: SagaView, request: Request, response: Response) -> Response | None:
    """Tags an answer about the saga; the answer 304, if whoever asks has this one already."""
    tag = f'W/"{view.saga["sequence"]}"'
    response.headers["ETag"] = tag
    stamp(response, view.as_of_sequence)
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return None


async def step_answers(parts: Parts, view: SagaView) -> list[StepAnswer]:
    """All steps of the saga's definition, with their outputs. Raises NotFound if the log has lost its facts."""
    definition = await parts.definitions.fetch(f"{view.saga['name']}@{view.saga['version']}")
    facts = await parts.queries.facts(view.saga["saga_id"])
    outputs = {one.fact.subject: one.fact.data for one in facts if one.fact.kind == FactKind.COMPLETED}
    rows = defaultdict(lambda: _PENDING, {row["step"]: row for row in view.steps})
    return [
        StepAnswer(
            name=step.name,
            action=step.action,
            after=list(step.after),
            output=outputs.get(step.name, {}).get("output"),
            **{field: rows[step.name][field] for field in _STEP_FIELDS},
        )
        for step in (definition.steps if definition else ())
    ]


async def _redrives(parts: Parts, view: SagaView) -> RedrivesAnswer | None:
    started = await parts.queries.fact(view.saga["saga_id"], STARTED_KEY)
    redrives = directives_of(started.directives).redrives if started else None
    if started is None or redrives is None:
        return None
    words = Redriven.model_validate(started.data["redriven"])
    return RedrivesAnswer(
        saga_id=redrives.saga_id, from_steps=list(redrives.from_steps), **words.model_dump()
    )


async def _redriven_as(parts: Parts, view: SagaView) -> str | None:
    new_id = redrive_id(view.saga["saga_id"])
    return new_id if view.saga["ended_at"] and await parts.queries.fact(new_id, STARTED_KEY) else None


_PENDING: dict[str, Any] = {
    "status": "pending",
    "attempt": 0,
    "started_at": None,
    "ended_at": None,
    "closed_at": None,
    "duration_ms": None,
    "failure": None,
}
_STEP_FIELDS = tuple(_PENDING)


def stamp(response: Response, sequence: int) -> None:
    """Tells up to which fact the answer knows."""
    response.headers["Saga-Log-Sequence"] = str(sequence)


def _aware(at: datetime | None, field: str) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise InvalidContract(f"{field} needs a time zone, as in 2026-01-31T12:00:00Z")
    return at


def label_of(text: str) -> tuple[str, str]:
    """A label in a query, `name:value`. Raises InvalidContract."""
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise InvalidContract(f"label {text!r} must be name:value")
    return name, value
