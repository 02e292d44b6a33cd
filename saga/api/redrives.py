"""`/api/v1/sagas/{saga_id}/redrive`, and `/api/v1/redrives` for many: failed sagas run again, as new ones."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.facts import Redriven
from contracts.redrives import MAX_RATE_PER_S, FailedSagas, JobState, RedriveJob, RedriveManner, Refusal
from saga.api.parts import Parts
from saga.redriving.jobs import Jobs, wanted_of
from saga.redriving.plan import Plan
from saga.redriving.restart import Redriver


class RedriveRequest(RedriveManner):
    """From where, with which input, and who wants it. `dry_run` only tells what would be done."""

    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)
    dry_run: bool = False


class PlanAnswer(BaseModel):
    """`new_id` is the saga that the redrive is; `repeated` are steps that run again though they had completed, and
    whose effect nothing undoes."""

    saga_id: str
    new_id: str
    definition: str
    input: dict[str, Any]
    from_steps: list[str]
    taken_over: list[str]
    again: list[str]
    repeated: list[str]
    created: bool

    @classmethod
    def of(cls, plan: Plan, *, created: bool) -> "PlanAnswer":
        names = ("from_steps", "taken_over", "again", "repeated")
        return cls(
            saga_id=plan.saga_id,
            new_id=plan.new_id,
            definition=plan.definition.ref,
            input=plan.input,
            created=created,
            **{name: list(getattr(plan, name)) for name in names},
        )


class RedrivesRequest(BaseModel):
    """Redrive all failed sagas that are meant, at most so many a second."""

    model_config = ConfigDict(extra="forbid")

    sagas: FailedSagas
    manner: RedriveManner = RedriveManner()
    rate_per_s: float = Field(default=10.0, gt=0, le=MAX_RATE_PER_S)
    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)


class RehearsalRequest(BaseModel):
    """Which failed sagas would be redriven, and how."""

    model_config = ConfigDict(extra="forbid")

    sagas: FailedSagas
    manner: RedriveManner = RedriveManner()


class RehearsalAnswer(BaseModel):
    """How many sagas are meant; of the newest of them the plans, and why others would be refused."""

    matched: int
    plans: list[PlanAnswer]
    refused: list[Refusal]


class JobAnswer(BaseModel):
    """One job. `matched` sagas were meant when it began; `refusals` are the last of those that are `refused`."""

    id: str
    state: JobState
    sagas: FailedSagas
    manner: RedriveManner
    rate_per_s: float
    by: str
    reason: str
    matched: int
    redriven: int
    refused: int
    refusals: list[Refusal]
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, job: RedriveJob) -> "JobAnswer":
        return cls.model_validate({name: getattr(job, name) for name in cls.model_fields})


class JobPage(BaseModel):
    items: list[JobAnswer]


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1", tags=["redrives"])
    redriver = Redriver(parts.bus, parts.definitions)
    jobs = Jobs(parts.bus, redriver, parts.queries)

    @routes.post("/sagas/{saga_id}/redrive", status_code=202, operation_id="redriveSaga")
    async def redrive(saga_id: str, body: RedriveRequest, response: Response) -> PlanAnswer:
        if body.dry_run:
            response.status_code = 200
            return PlanAnswer.of(await redriver.plan(saga_id, wanted_of(body)), created=False)
        done = await redriver.redrive(saga_id, wanted_of(body), Redriven(by=body.by, reason=body.reason))
        response.headers["Location"] = f"/api/v1/sagas/{done.plan.new_id}"
        return PlanAnswer.of(done.plan, created=done.created)

    @routes.post("/redrives", status_code=202, operation_id="redriveSagas")
    async def redrive_all(body: RedrivesRequest, response: Response) -> JobAnswer:
        job = await jobs.create(
            body.sagas, body.manner, rate_per_s=body.rate_per_s, by=body.by, reason=body.reason
        )
        response.headers["Location"] = f"/api/v1/redrives/{job.id}"
        return JobAnswer.of(job)

    @routes.post("/redrives/rehearse", operation_id="rehearseRedrives")
    async def rehearse(body: RehearsalRequest) -> RehearsalAnswer:
        found = await jobs.rehearse(body.sagas, body.manner)
        return RehearsalAnswer(
            matched=found.matched,
            plans=[PlanAnswer.of(plan, created=False) for plan in found.plans],
            refused=[Refusal(saga_id=one, detail=detail) for one, detail in found.refused.items()],
        )

    @routes.get("/redrives", operation_id="listRedrives")
    async def list_jobs() -> JobPage:
        return JobPage(items=[JobAnswer.of(job) for job in await jobs.all()])

    @routes.get("/redrives/{job_id}", operation_id="getRedrives")
    async def get(job_id: str) -> JobAnswer:
        return JobAnswer.of(await jobs.get(job_id))

    @routes.post("/redrives/{job_id}/cancel", operation_id="cancelRedrives")
    async def cancel(job_id: str) -> JobAnswer:
        return JobAnswer.of(await jobs.cancel(job_id))

    return routes
