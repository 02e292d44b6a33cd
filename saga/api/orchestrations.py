"""`/api/v1/orchestrations`: workflows that are sent with the request, run, and kept in no catalogue."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.children import PARENT
from contracts.failure import NotFound
from contracts.workflows import INLINE
from saga.api.execution_models import Execution, ExecutionPage, ExecutionStarted
from saga.api.executions import (
    IdempotencyKey,
    RunRequest,
    Traceparent,
    accepted,
    found,
    page_of,
)
from saga.api.parts import Parts
from saga.executions import ExecutionStatus
from saga.log.queries import Filter
from saga.workflows.inline import publish_inline

_GOING_ON = (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)
_ACTIVE = Filter(executions=_GOING_ON, name=INLINE, without_children=True)


class OrchestrationRequest(RunRequest):
    """A workflow and its input. The workflow needs no name."""

    workflow: dict[str, Any] = Field(
        examples=[{"steps": [{"name": "w", "type": "WAIT", "input": {"for_s": 1}}]}]
    )


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/orchestrations", tags=["orchestrations"])

    @routes.post("", status_code=202, operation_id="runOrchestration")
    async def run(
        body: OrchestrationRequest,
        response: Response,
        idempotency_key: IdempotencyKey = None,
        traceparent: Traceparent = "",
    ) -> ExecutionStarted:
        definition = await publish_inline(body.workflow, parts.definitions)
        options = body.options(idempotency_key, traceparent)
        return accepted(await parts.client.start(definition.ref, body.input, options), response)

    @routes.get("/active", operation_id="listActiveOrchestrations")
    async def active(asked: Annotated[_Page, Query()], response: Response) -> ExecutionPage:
        return await page_of(parts, _ACTIVE, asked.limit, asked.cursor, response)

    @routes.get("/active/{execution_id}", operation_id="getActiveOrchestration", response_model=Execution)
    async def get(execution_id: str, request: Request, response: Response) -> Any:
        execution = await found(parts, execution_id, request, response, None, 0)
        if isinstance(execution, Execution):
            if execution.workflow != INLINE or PARENT in execution.labels:
                raise NotFound(f"execution {execution_id} is no orchestration: see /api/v1/executions")
            if execution.status not in _GOING_ON:
                raise NotFound(f"orchestration {execution_id} is {execution.status}: see /api/v1/executions")
        return execution

    return routes
