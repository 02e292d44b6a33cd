"""`/api/v1/workflows/{name}/metrics`: how its executions fare, by version, so that versions can be compared."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.definition import Token
from saga.api.parts import Parts
from saga.api.sagas import stamp
from saga.executions import ExecutionStatus
from saga.log.metrics import ALL, Figures, StepFigures, Window
from saga.state import StepStatus

_TOLD = tuple(status for status in ExecutionStatus if status != ExecutionStatus.PENDING)
_FAILED = (ExecutionStatus.FAILED, ExecutionStatus.COMPENSATED)


class MetricsWanted(BaseModel):
    """Of executions started in this time; the end is not in it."""

    model_config = ConfigDict(extra="forbid")

    started_after: AwareDatetime | None = None
    started_before: AwareDatetime | None = None


class Percentiles(BaseModel):
    """Milliseconds, by nearest rank; null if there are none."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, durations_ms: dict[int, float]) -> "Percentiles":
        return cls(p50=durations_ms.get(50), p95=durations_ms.get(95), p99=durations_ms.get(99))


class StepMetrics(BaseModel):
    """`retries`: attempts beyond the first; durations are those of the attempts that completed the step."""

    name: str
    by_status: dict[StepStatus, int]
    retries: int
    compensations: int
    duration_ms: Percentiles

    @classmethod
    def of(cls, name: str, figures: StepFigures) -> "StepMetrics":
        return cls(
            name=name,
            by_status=dict(figures.by_status),
            retries=figures.retries,
            compensations=figures.by_status[StepStatus.COMPENSATED],
            duration_ms=Percentiles.of(figures.durations_ms),
        )


class Metrics(BaseModel):
    """Durations are those of executions that have ended, however."""

    executions: int
    by_status: dict[ExecutionStatus, int]
    success_rate: float | None = Field(
        description="COMPLETED among those that ended without being cancelled; null if there are none"
    )
    retries: int
    compensations: int
    duration_ms: Percentiles
    steps: list[StepMetrics]


class VersionMetrics(Metrics):
    """`weight`: of the version's share of new executions; null if it gets none."""

    version: str
    weight: int | None


class WorkflowMetrics(BaseModel):
    workflow: str
    started_after: AwareDatetime | None
    started_before: AwareDatetime | None
    total: Metrics
    versions: list[VersionMetrics]
    as_of_sequence: int


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/workflows", tags=["executions"])

    @routes.get("/{name}/metrics", operation_id="getWorkflowMetrics")
    async def get(
        name: Annotated[Token, Path()], wanted: Annotated[MetricsWanted, Query()], response: Response
    ) -> WorkflowMetrics:
        record = (await parts.catalogue.get(name, deleted=True)).record
        window = Window(name=name, **wanted.model_dump())
        figures, as_of = await parts.queries.figures(window)
        stamp(response, as_of)
        total = figures.pop(ALL)
        weights = {str(share.version): share.weight for share in record.active}
        versions = sorted(figures.keys() | weights.keys(), key=lambda version: (len(version), version))
        return WorkflowMetrics(
            workflow=name,
            **wanted.model_dump(),
            total=_metrics(total),
            versions=[
                VersionMetrics(
                    version=version,
                    weight=weights.get(version),
                    **dict(_metrics(figures.get(version, Figures()))),
                )
                for version in versions
            ],
            as_of_sequence=as_of,
        )

    return routes


def _metrics(figures: Figures) -> Metrics:
    steps = [StepMetrics.of(name, step) for name, step in sorted(figures.steps.items())]
    completed = figures.by_status[ExecutionStatus.COMPLETED]
    judged = completed + sum(figures.by_status[status] for status in _FAILED)
    return Metrics(
        executions=figures.by_status.total(),
        by_status={status: figures.by_status[status] for status in _TOLD},
        success_rate=completed / judged if judged else None,
        retries=sum(step.retries for step in steps),
        compensations=sum(step.compensations for step in steps),
        duration_ms=Percentiles.of(figures.durations_ms),
        steps=steps,
    )
