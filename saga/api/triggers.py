"""`/api/v1/triggers`: what starts workflows: create, change, switch on and off, fire, and what became of it."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.definition import Token
from contracts.failure import Conflict, InvalidContract
from contracts.ids import new_saga_id
from contracts.pointers import Problem
from contracts.triggers import Firing, InvalidTrigger, Outcome, ScheduleTrigger, Trigger, parse_trigger
from events.clock import utc_now
from events.triggers import KeptTrigger, armed_schedule, firings
from saga.api.parts import Parts
from saga.api.preconditions import Expected, stamp
from saga.cursors import fingerprint, read_cursor, write_cursor
from saga.triggers.firing import Event
from saga.workflows.catalogue import Words

type Kind = Literal["MANUAL", "API_CALL", "EVENT", "WEBHOOK", "SCHEDULE"]

_Name = Annotated[Token, Path(examples=["nightly-report"])]
_Who = Annotated[str, Query(max_length=128)]
_Why = Annotated[str, Query(max_length=1024)]


class SwitchRequest(BaseModel):
    """Who switches a trigger, and why; both are kept."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)


class FireRequest(BaseModel):
    """An event to fire by. The same `event_id` once more starts nothing."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=128)
    data: Any = Field(default_factory=dict)
    event_id: str | None = Field(default=None, min_length=1, max_length=256)


class TriggerAnswer(BaseModel):
    """A trigger as it stands. `next_time` is that of a schedule that is armed."""

    trigger: Trigger
    generation: int
    created_at: datetime
    updated_at: datetime
    by: str
    reason: str
    next_time: datetime | None = None

    @classmethod
    def of(cls, kept: KeptTrigger, next_time: datetime | None = None) -> "TriggerAnswer":
        told = kept.record.model_dump(exclude={"trigger", "deleted"})
        return cls(trigger=kept.record.trigger, next_time=next_time, **told)


class TriggerPage(BaseModel):
    items: list[TriggerAnswer]
    next_cursor: str | None


class FiringAnswer(BaseModel):
    """What became of an event. `filtered`: the trigger's condition did not hold."""

    outcome: Literal["started", "repeated", "filtered"]
    saga_id: str
    definition: str

    @classmethod
    def of(cls, firing: Firing | None) -> "FiringAnswer":
        if firing is None:
            return cls(outcome="filtered", saga_id="", definition="")
        outcome: Any = firing.outcome.value
        return cls(outcome=outcome, saga_id=firing.saga_id, definition=firing.definition)


class FiringPage(BaseModel):
    items: list[Firing]
    next_cursor: str | None


class _Listing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    workflow: str | None = Field(default=None, max_length=128)
    enabled: bool | None = None

    def fits(self, trigger: Trigger) -> bool:
        return (
            self.kind in (None, trigger.kind)
            and self.workflow in (None, trigger.workflow, trigger.workflow.partition("@")[0])
            and self.enabled in (None, trigger.enabled)
        )


class _Page(_Listing):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class _History(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outcome: Outcome | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


def kept_body(body: bytes) -> str:
    """A raw body, as the history keeps it."""
    return base64.b64encode(body).decode("ascii")


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/triggers", tags=["triggers"])
    triggers = parts.triggers

    async def answer(kept: KeptTrigger, response: Response) -> TriggerAnswer:
        stamp(response, kept.revision)
        if isinstance(kept.record.trigger, ScheduleTrigger) and kept.record.active:
            due = await armed_schedule(parts.bus, kept.record.trigger.name)
            return TriggerAnswer.of(kept, due.at if due else None)
        return TriggerAnswer.of(kept)

    @routes.post("", status_code=201, operation_id="createTrigger")
    async def create(
        body: Annotated[Any, Body()], response: Response, by: _Who = "", reason: _Why = ""
    ) -> TriggerAnswer:
        kept = await triggers.create(parse_trigger(body), Words(by, reason))
        response.headers["Location"] = f"/api/v1/triggers/{kept.record.trigger.name}"
        return await answer(kept, response)

    @routes.get("", operation_id="listTriggers")
    async def list_triggers(query: Annotated[_Page, Query()]) -> TriggerPage:
        wanted = _Listing(**query.model_dump(include=set(_Listing.model_fields)))
        question = fingerprint(wanted)
        after = read_cursor(query.cursor, question, 1)[0] if query.cursor else ""
        found = [
            kept
            for kept in triggers.all()
            if kept.record.trigger.name > after and wanted.fits(kept.record.trigger)
        ]
        page = found[: query.limit]
        more = write_cursor([page[-1].record.trigger.name], question) if len(found) > len(page) else None
        return TriggerPage(items=[TriggerAnswer.of(kept) for kept in page], next_cursor=more)

    @routes.get("/{name}", operation_id="getTrigger")
    async def get(name: _Name, response: Response) -> TriggerAnswer:
        return await answer(await triggers.get(name), response)

    @routes.put("/{name}", operation_id="updateTrigger")
    async def update(
        name: _Name,
        expected: Expected,
        body: Annotated[Any, Body()],
        response: Response,
        by: _Who = "",
        reason: _Why = "",
    ) -> TriggerAnswer:
        trigger = parse_trigger(body)
        if trigger.name != name:
            raise InvalidTrigger(name, [Problem("/name", f"expected {name}, the name in the path")])
        return await answer(await triggers.update(trigger, expected, Words(by, reason)), response)

    @routes.delete("/{name}", status_code=204, operation_id="deleteTrigger")
    async def delete(name: _Name, expected: Expected, by: _Who = "", reason: _Why = "") -> None:
        await triggers.delete(name, expected, Words(by, reason))

    @routes.post("/{name}/enable", operation_id="enableTrigger")
    async def enable(name: _Name, body: SwitchRequest, response: Response) -> TriggerAnswer:
        return await answer(await triggers.enable(name, Words(body.by, body.reason), enabled=True), response)

    @routes.post("/{name}/disable", operation_id="disableTrigger")
    async def disable(name: _Name, body: SwitchRequest, response: Response) -> TriggerAnswer:
        return await answer(await triggers.enable(name, Words(body.by, body.reason), enabled=False), response)

    @routes.post("/{name}/fire", status_code=202, operation_id="fireTrigger")
    async def fire(name: _Name, body: FireRequest) -> FiringAnswer:
        trigger = (await triggers.get(name)).record.trigger
        if not trigger.enabled:
            raise Conflict(f"trigger {name} is disabled")
        event = Event(
            id=body.event_id or new_saga_id(),
            source="fire",
            type="trigger.fired",
            subject=name,
            time=utc_now(),
            data=body.data,
        )
        return FiringAnswer.of(await parts.firer.fire(trigger, event, by=body.by))

    @routes.get("/{name}/firings", operation_id="listFirings")
    async def history(name: _Name, query: Annotated[_History, Query()]) -> FiringPage:
        question = fingerprint((name, query.outcome))
        before = _sequence(read_cursor(query.cursor, question, 1)[0]) if query.cursor else None
        found = [
            one
            for one in await firings(parts.bus, name, before=before)
            if query.outcome in (None, one[1].outcome)
        ]
        page = found[: query.limit]
        more = write_cursor([str(page[-1][0])], question) if len(found) > len(page) else None
        return FiringPage(items=[firing for _, firing in page], next_cursor=more)

    return routes


def _sequence(text: str) -> int:
    if not text.isdigit():
        raise InvalidContract("the cursor is not one of this query: begin again without it")
    return int(text)
