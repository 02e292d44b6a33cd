"""`/api/v1/sagas/{saga_id}/steps/{step}/why` and `/api/v1/sagas/stuck`: reasons, in plain sentences."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from contracts.breakers import BreakerState
from events.clock import utc_now
from saga.api.models import SagaSummary
from saga.api.parts import Parts
from saga.api.replays import facts_of
from saga.discovery import discover
from saga.why import Around, Standing, Why, fronts, why

_READ = 500


class WhyAnswer(BaseModel):
    """One step: where it stands, and why. `waits_for` are the steps that must speak or close before it."""

    step: str
    action: str
    standing: Standing
    sentences: list[str]
    since: datetime | None
    until: datetime | None = Field(description="when a timer ends this by itself")
    waits_for: list[str]

    @classmethod
    def of(cls, found: Why) -> "WhyAnswer":
        return cls(**asdict(found))


class WhysAnswer(BaseModel):
    """The step that was asked for, then those it waits for, and those that they wait for."""

    saga_id: str
    steps: list[WhyAnswer]


class StuckSaga(SagaSummary):
    """A saga without progress, and the steps it hangs on."""

    silent_s: float
    hangs_on: list[WhyAnswer]


class StuckPage(BaseModel):
    """The longest silent first. `examined`: how many were silent; those that only wait for a time were left out."""

    items: list[StuckSaga]
    examined: int


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/sagas", tags=["reasons"])

    @routes.get("/stuck", operation_id="stuckSagas")
    async def stuck(
        silent_s: Annotated[float, Query(ge=0)] = 60.0, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> StuckPage:
        around = await _around(parts)
        rows = await parts.queries.silent(around.now - timedelta(seconds=silent_s), _READ)
        items: list[StuckSaga] = []
        for row in rows:
            if len(items) == limit:
                break
            played = await facts_of(parts, row["saga_id"])
            hangs_on = fronts(played.definition, played.facts, around)
            if hangs_on and not all(one.standing is Standing.WAITS_FOR_TIME for one in hangs_on):
                items.append(
                    StuckSaga(
                        **SagaSummary.of(row).model_dump(),
                        silent_s=round((around.now - row["updated_at"]).total_seconds(), 1),
                        hangs_on=[WhyAnswer.of(one) for one in hangs_on],
                    )
                )
        return StuckPage(items=items, examined=len(rows))

    @routes.get("/{saga_id}/steps/{step}/why", operation_id="whyStep")
    async def asked(saga_id: str, step: str) -> WhysAnswer:
        played = await facts_of(parts, saga_id)
        found = why(played.definition, played.facts, step, await _around(parts))
        return WhysAnswer(saga_id=saga_id, steps=[WhyAnswer.of(one) for one in found])

    return routes


async def _around(parts: Parts) -> Around:
    discovered = await discover(parts.bus, parts.definitions.all())
    broken = [record.name for record in parts.breakers.records() if record.state != BreakerState.CLOSED]
    return Around(now=utc_now(), present=discovered.present, open_breakers=tuple(sorted(broken)))
