"""`/api/v1/sagas/{saga_id}/replay`: one saga played again from the stream, and compared with the log."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from contracts.facts import STARTED_KEY, Recorded
from contracts.failure import NotFound
from events.read import read_saga
from saga.api.parts import Parts
from saga.audit import state_differences
from saga.frames import FrameAnswer, frames_of
from saga.replay import read_until, up_to
from saga.sources import Played, definition_of
from saga.state import fold


class ReplayAnswer(BaseModel):
    """`differences` tell where the log says otherwise than the facts that it knows of; `log_behind` is how many
    it does not know of yet. Both are about the whole saga, whatever `until` is."""

    saga_id: str
    definition: str
    whole: bool = Field(description="false: its start is kept neither in the stream nor in the log")
    frames: list[FrameAnswer]
    differences: list[str]
    log_behind: int


def router(parts: Parts) -> APIRouter:
    """The route over these parts."""
    routes = APIRouter(prefix="/api/v1/sagas/{saga_id}/replay", tags=["replay"])

    @routes.get("", operation_id="replaySaga")
    async def replayed(
        saga_id: str,
        until: Annotated[str | None, Query(max_length=64, description="a sequence or an instant")] = None,
    ) -> ReplayAnswer:
        end = read_until(until) if until else None
        played = await facts_of(parts, saga_id)
        differences, behind = await _compared(parts, saga_id, played)
        return ReplayAnswer(
            saga_id=saga_id,
            definition=played.definition.ref,
            whole=played.whole,
            frames=frames_of(played.definition, up_to(played.facts, end)),
            differences=differences,
            log_behind=behind,
        )

    return routes


async def facts_of(parts: Parts, saga_id: str) -> Played:
    """From the stream; what the stream no longer keeps whole, from the log. Raises NotFound."""
    facts: list[Recorded] = await read_saga(parts.bus, saga_id)
    if not facts or facts[0].fact.key != STARTED_KEY:
        facts = await parts.queries.facts(saga_id)
    return Played(await definition_of(parts.definitions, facts[0]), facts)


async def _compared(parts: Parts, saga_id: str, played: Played) -> tuple[list[str], int]:
    try:
        view = await parts.queries.get(saga_id)
    except NotFound:
        return [], len(played.facts)
    known = [recorded for recorded in played.facts if recorded.sequence <= view.saga["sequence"]]
    rows = {row["step"]: row for row in view.steps}
    found = state_differences(fold(played.definition, known), view.saga, rows)
    return [f"{step}: {detail}" for step, detail in found], len(played.facts) - len(known)
