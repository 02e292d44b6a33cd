"""`/api/v1/orchestration/health`: how the whole stands, part by part, with the reasons in words.

`down`: the bus does not answer, so nothing moves. `degraded`: sagas may be held up, or a person is needed.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from contracts.breakers import BreakerState
from contracts.failure import SagaError
from events.clock import utc_now
from events.consumers import consumer_states
from saga.api.health import OK, log_check
from saga.api.parts import Parts

_CHECK_S = 2.0


class BusHealth(BaseModel):
    answers: bool
    error: str = ""


class LogHealth(BaseModel):
    """`lag`: facts in the streams that the log has not applied; null while the bus does not answer."""

    follows: bool
    lag: int | None
    error: str = ""


class ParticipantHealth(BaseModel):
    """The consumer of an action in one partition.

    `neglected`: there is something to do, nobody asks for it, and nobody has taken any for a while. A replica that is
    full to its limit asks for nothing, either, but takes something as soon as it has done something.
    """

    name: str
    partition: int
    waiting: int = Field(description="facts not delivered yet")
    in_hand: int = Field(description="delivered and not answered yet")
    redelivered: int
    asking: int = Field(description="standing requests of replicas")
    last_delivery: datetime | None
    neglected: bool


class BreakersHealth(BaseModel):
    open: list[str]
    half_open: list[str]


class DeadLettersHealth(BaseModel):
    """Letters nobody has decided about; while the bus does not answer, as they were counted last."""

    open: int
    by_code: dict[str, int]


class OrchestrationHealth(BaseModel):
    """`reasons` says why it is not `ok`."""

    status: Literal["ok", "degraded", "down"]
    reasons: list[str]
    bus: BusHealth
    log: LogHealth
    participants: list[ParticipantHealth]
    breakers: BreakersHealth
    dead_letters: DeadLettersHealth


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/orchestration", tags=["health"])

    @routes.get("/health", operation_id="getOrchestrationHealth")
    async def get(response: Response) -> OrchestrationHealth:
        found = await _found(parts)
        response.status_code = 503 if found.status == "down" else 200
        return found

    return routes


async def _found(parts: Parts) -> OrchestrationHealth:
    participants: list[ParticipantHealth] = []
    lag, error = None, "" if parts.bus.connected else "not connected"
    if not error:
        try:
            async with asyncio.timeout(_CHECK_S):
                participants = await _participants(parts)
                lag = await parts.log.lag()
        except (SagaError, TimeoutError) as failed:
            error = str(failed) or "no answer in time"
    checked = await log_check(parts)
    by_code = parts.census.counted if error else await parts.census.refresh()
    found = OrchestrationHealth(
        status="ok",
        reasons=[],
        bus=BusHealth(answers=not error, error=error),
        log=LogHealth(
            follows=parts.log.alive and checked == OK, lag=lag, error="" if checked == OK else checked
        ),
        participants=participants,
        breakers=BreakersHealth(
            open=_breakers(parts, BreakerState.OPEN), half_open=_breakers(parts, BreakerState.HALF_OPEN)
        ),
        dead_letters=DeadLettersHealth(open=by_code.total(), by_code=dict(by_code)),
    )
    found.reasons = _reasons(found)
    found.status = "down" if error else "degraded" if found.reasons else "ok"
    return found


async def _participants(parts: Parts) -> list[ParticipantHealth]:
    lately = utc_now() - timedelta(seconds=parts.bus.settings.ack_wait_s)
    found = [
        ParticipantHealth(
            name=state.name, partition=state.partition, waiting=state.waiting, in_hand=state.in_hand,
            redelivered=state.redelivered, asking=state.asking, last_delivery=state.last_delivery,
            neglected=state.asking == 0 < state.waiting + state.in_hand
            and (state.last_delivery is None or state.last_delivery < lately),
        )
        async for state in consumer_states(parts.bus)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.name, one.partition))


def _breakers(parts: Parts, state: BreakerState) -> list[str]:
    return [record.name for record in parts.breakers.records() if record.state == state]


def _reasons(found: OrchestrationHealth) -> list[str]:
    reasons = [] if found.bus.answers else [f"the bus does not answer: {found.bus.error}"]
    if not found.log.follows:
        reasons.append(f"the log does not follow: {found.log.error or 'it has ended'}")
    reasons += [
        f"nobody takes the {one.waiting + one.in_hand} facts for {one.name} (partition {one.partition})"
        for one in found.participants
        if one.neglected
    ]
    reasons += [f"breaker {name} is open" for name in found.breakers.open]
    if found.dead_letters.open:
        reasons.append(f"{found.dead_letters.open} dead letters wait for a person")
    return reasons
