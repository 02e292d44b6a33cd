"""`/api/v1/workflow`: entering phases from outside, and the audit trail of all entries."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from sqlmodel import col, select

from contracts.phases import OLDER_STEPS, PHASES
from events.database import Database
from saga.cursors import fingerprint, read_cursor, write_cursor
from services.claims.doors import Doors, Opened
from services.claims.store import reading
from services.claims.tables import Transition

_Number = Annotated[int, Path(description="1 to 7; 10 to 14 for older steps")]


class PhaseAnswer(BaseModel):
    """`created` is false if the same had entered it before; `waits_for` is what it follows and has not come yet."""

    phase: int
    key: str
    saga_id: str
    created: bool
    waits_for: str | None

    @classmethod
    def of(cls, opened: Opened) -> "PhaseAnswer":
        return cls(
            phase=opened.phase, key=opened.key, saga_id=opened.saga.saga_id, created=opened.saga.created,
            waits_for=opened.waits_for,
        )  # fmt: skip


class PhaseShown(BaseModel):
    phase: int
    name: str
    definition: str
    older_steps: list[int]
    entry: str = Field(description="the contract of what enters it")


class PhaseList(BaseModel):
    items: list[PhaseShown]


class TransitionShown(BaseModel):
    number: int
    at: AwareDatetime
    account_id: str
    claim_id: str
    phase: int
    key: str
    outcome: Literal["entered", "held", "repeated", "out_of_order", "refused"]
    saga_id: str
    detail: str


class TransitionPage(BaseModel):
    items: list[TransitionShown]
    next_cursor: str | None


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account_id: str | None = None
    claim_id: str | None = None
    phase: int | None = Field(default=None, ge=1, le=7)
    outcome: str | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


def router(doors: Doors, database: Database) -> APIRouter:
    """The routes over the claims' database."""
    routes = APIRouter(prefix="/api/v1/workflow", tags=["claims"])

    @routes.post("/phase/{number}", status_code=202, operation_id="enterPhase")
    async def enter(number: _Number, body: dict[str, JsonValue], response: Response) -> PhaseAnswer:
        opened = await doors.enter(number, body)
        response.headers["Location"] = f"/api/v1/sagas/{opened.saga.saga_id}"
        if not opened.saga.created:
            response.headers["Idempotency-Replayed"] = "true"
        return PhaseAnswer.of(opened)

    @routes.get("/phases", operation_id="listPhases")
    async def phases() -> PhaseList:
        return PhaseList(
            items=[
                PhaseShown(
                    phase=phase.number, name=phase.name, definition=phase.definition,
                    older_steps=[older for older, number in OLDER_STEPS.items() if number == phase.number],
                    entry=f"claims.{phase.entry.__name__}",
                )
                for phase in PHASES.values()
            ]
        )  # fmt: skip

    @routes.get("/transitions", operation_id="listTransitions")
    async def transitions(asked: Annotated[_Wanted, Query()]) -> TransitionPage:
        filters = asked.model_dump(exclude={"limit", "cursor"}, exclude_none=True)
        question = fingerprint(("transitions", sorted(filters.items())))
        query = select(Transition).order_by(col(Transition.number)).limit(asked.limit + 1)
        if asked.cursor:
            query = query.where(col(Transition.number) > int(read_cursor(asked.cursor, question, 1)[0]))
        async with reading(database) as session:
            rows = (await session.exec(query.filter_by(**filters))).all()
        items = [TransitionShown.model_validate(row, from_attributes=True) for row in rows[: asked.limit]]
        more = len(rows) > asked.limit
        return TransitionPage(
            items=items, next_cursor=write_cursor([str(items[-1].number)], question) if more else None
        )

    return routes
