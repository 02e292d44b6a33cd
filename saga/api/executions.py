"""Starting workflows, and `/api/v1/executions`: what became of them.

An execution is a saga; its id is the saga's. What steps have started beside themselves are executions, too, and
are listed when their parent is asked for.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from contracts.children import LABELS, PARENT
from contracts.definition import Token
from contracts.directives import NO_DIRECTIVES, Directives
from contracts.facts import STARTED_KEY
from contracts.failure import NotFound
from contracts.subjects import valid_token
from events.read import read_saga
from saga.api.execution_models import (
    Execution,
    ExecutionPage,
    ExecutionSignal,
    ExecutionStarted,
    ExecutionSummary,
    ExecutionTold,
    summary,
)
from saga.api.models import CorrelationId, InterventionRequest, LabelName, LabelValue
from saga.api.parts import Parts
from saga.api.sagas import MAX_WAIT_S, label_of, stamp, step_answers, unchanged, view_after
from saga.client import StartedSaga, StartOptions
from saga.executions import ExecutionStatus
from saga.log.queries import Filter

MAX_DEADLINE_S = 366 * 86_400
_EXECUTIONS = "/api/v1/executions"
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]
Traceparent = Annotated[str, Header(max_length=128)]


class RunRequest(BaseModel):
    """What an execution is given. `deadline_s` (seconds) counts instead of the workflow's."""

    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any] = Field(default_factory=dict)
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=32)
    correlation_id: CorrelationId = ""
    directives: Directives = Field(default=NO_DIRECTIVES, description="for whom it runs, and how")
    deadline_s: float | None = Field(default=None, gt=0, le=MAX_DEADLINE_S)

    @field_validator("labels")
    @classmethod
    def _not_of_children(cls, labels: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in LABELS if name in labels]:
            raise ValueError(f"{taken[0]!r} tells children from others: choose another name")
        return labels

    def options(self, idempotency_key: str | None, traceparent: str) -> StartOptions:
        """What goes with the start."""
        return StartOptions(
            idempotency_key=idempotency_key,
            labels=self.labels,
            correlation_id=self.correlation_id,
            traceparent=traceparent,
            source="/api",
            deadline_s=self.deadline_s,
            directives=self.directives,
        )


class ExecuteRequest(RunRequest):
    """Run a workflow: the version that new executions get now, or `version`."""

    version: int | None = Field(default=None, ge=1)


class ExecutionsWanted(BaseModel):
    """The filters of a list; unknown ones are refused. Without `parent`, children are left out."""

    model_config = ConfigDict(extra="forbid")

    workflow: Token | None = None
    version: str | None = Field(default=None, max_length=32)
    status: list[ExecutionStatus] = []
    label: list[str] = Field(default=[], max_length=10, description="name:value, all must be there")
    parent: str | None = Field(default=None, max_length=64, description="the children of this execution")
    started_after: AwareDatetime | None = None
    started_before: AwareDatetime | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None

    def filter(self) -> Filter:
        """Raises InvalidContract if a label is none."""
        labels = [label_of(text) for text in self.label]
        if self.parent is not None:
            labels.append((PARENT, self.parent))
        return Filter(
            executions=tuple(self.status),
            name=self.workflow,
            version=self.version,
            labels=tuple(labels),
            without_children=self.parent is None,
            started_after=self.started_after,
            started_before=self.started_before,
        )


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(tags=["executions"])

    @routes.post("/api/v1/workflows/{name}/execute", status_code=202, operation_id="executeWorkflow")
    async def execute(
        name: Annotated[Token, Path()],
        body: ExecuteRequest,
        response: Response,
        idempotency_key: IdempotencyKey = None,
        traceparent: Traceparent = "",
    ) -> ExecutionStarted:
        wanted = name if body.version is None else f"{name}@{body.version}"
        options = body.options(idempotency_key, traceparent)
        return accepted(await parts.catalogue.execute(wanted, body.input, options), response)

    @routes.get(_EXECUTIONS, operation_id="listExecutions")
    async def list_executions(
        wanted: Annotated[ExecutionsWanted, Query()], response: Response
    ) -> ExecutionPage:
        return await page_of(parts, wanted.filter(), wanted.limit, wanted.cursor, response)

    @routes.get(f"{_EXECUTIONS}/{{execution_id}}", operation_id="getExecution", response_model=Execution)
    async def get(
        execution_id: str,
        request: Request,
        response: Response,
        after_sequence: Annotated[int | None, Query(ge=0)] = None,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0,
    ) -> Any:
        return await found(parts, execution_id, request, response, after_sequence, wait_s)

    @routes.post(f"{_EXECUTIONS}/{{execution_id}}/cancel", status_code=202, operation_id="cancelExecution")
    async def cancel(execution_id: str, body: InterventionRequest, response: Response) -> ExecutionTold:
        sequence = await parts.client.cancel(execution_id, reason=body.reason, by=body.by)
        return _told(execution_id, sequence, response)

    @routes.post(f"{_EXECUTIONS}/{{execution_id}}/signal", status_code=202, operation_id="signalExecution")
    async def signal(execution_id: str, body: ExecutionSignal, response: Response) -> ExecutionTold:
        sequence = await parts.client.signal(execution_id, body.step, body.payload, by=body.by)
        return _told(execution_id, sequence, response)

    return routes


def accepted(started: StartedSaga, response: Response) -> ExecutionStarted:
    """The answer to a start."""
    response.headers["Location"] = f"{_EXECUTIONS}/{started.saga_id}"
    if not started.created:
        response.headers["Idempotency-Replayed"] = "true"
    workflow, _, version = started.definition.partition("@")
    return ExecutionStarted(
        execution_id=started.saga_id,
        workflow=workflow,
        version=version,
        sequence=started.sequence,
        created=started.created,
    )


async def page_of(
    parts: Parts, wanted: Filter, limit: int, cursor: str | None, response: Response
) -> ExecutionPage:
    """A page of executions, newest first. Raises InvalidContract if the cursor is not one of this filter."""
    page = await parts.queries.page(wanted, limit=limit, cursor=cursor)
    stamp(response, page.as_of_sequence)
    return ExecutionPage(
        items=[ExecutionSummary.of(row) for row in page.items],
        next_cursor=page.next_cursor,
        as_of_sequence=page.as_of_sequence,
    )


async def found(
    parts: Parts, execution_id: str, request: Request, response: Response, after: int | None, wait_s: float
) -> Execution | Response:
    """An execution, waited for as a saga is; PENDING if only the stream has it. Raises NotFound."""
    try:
        view = await view_after(parts, execution_id, after, wait_s)
    except NotFound:
        return await _pending(parts, execution_id)
    if same := unchanged(view, request, response):
        return same
    return Execution(
        **summary(view.saga),
        input=view.saga["input"],
        abort=view.saga["abort"],
        labels=view.labels,
        steps=await step_answers(parts, view),
        as_of_sequence=view.as_of_sequence,
    )


async def _pending(parts: Parts, execution_id: str) -> Execution:
    facts = await read_saga(parts.bus, valid_token(execution_id, "execution id"))
    started = next((one.fact for one in facts if one.fact.key == STARTED_KEY), None)
    if started is None:
        raise NotFound(f"no execution {execution_id}")
    workflow, _, version = started.definition.partition("@")
    return Execution(
        execution_id=execution_id,
        workflow=workflow,
        version=version,
        status=ExecutionStatus.PENDING,
        state=None,
        correlation_id=started.correlationid,
        started_at=started.time,
        updated_at=started.time,
        ended_at=None,
        duration_ms=None,
        # Nothing of it is in the log: whoever waits, waits for its first fact.
        sequence=0,
        input=started.data.get("input"),
        abort=None,
        labels=started.data.get("labels") or {},
        steps=[],
        as_of_sequence=await parts.queries.applied_sequence(),
    )


def _told(execution_id: str, sequence: int, response: Response) -> ExecutionTold:
    response.headers["Location"] = f"{_EXECUTIONS}/{execution_id}"
    return ExecutionTold(execution_id=execution_id, sequence=sequence)
