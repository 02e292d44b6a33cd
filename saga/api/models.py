"""The shapes of requests and answers. Times are RFC 3339 in UTC, durations milliseconds."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.directives import NO_DIRECTIVES, Directives

LabelName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]
LabelValue = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
CorrelationId = Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\x00]*$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StartRequest(_Request):
    """Start a saga of `definition`: a name (its latest version) or `name@version`."""

    definition: str = Field(min_length=1, max_length=128, examples=["payment-standard"])
    input: dict[str, Any] = Field(default_factory=dict)
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=32)
    correlation_id: CorrelationId = ""
    directives: Directives = Field(default=NO_DIRECTIVES, description="for whom it runs, and how")


class StartAnswer(BaseModel):
    saga_id: str
    definition: str
    sequence: int
    created: bool = Field(description="false if the same Idempotency-Key had started it before")


class InterventionRequest(_Request):
    """Who intervenes, and why; both are kept as part of the fact."""

    reason: str = Field(min_length=1, max_length=1024)
    by: str = Field(min_length=1, max_length=128)


class SignalRequest(_Request):
    """What a step that waits is told, and by whom."""

    by: str = Field(min_length=1, max_length=128)
    payload: dict[str, Any] = Field(default_factory=dict)


class InterventionAnswer(BaseModel):
    """`sequence` is that of the fact; the participants act on it."""

    saga_id: str
    sequence: int


class SagaSummary(BaseModel):
    saga_id: str
    definition: str
    status: str
    correlation_id: str
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    duration_ms: float | None
    sequence: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> "SagaSummary":
        return cls(definition=f"{row['name']}@{row['version']}", **{name: row[name] for name in _SUMMARY})


_SUMMARY = tuple(name for name in SagaSummary.model_fields if name != "definition")


class SagaPage(BaseModel):
    items: list[SagaSummary]
    next_cursor: str | None
    as_of_sequence: int


class SagaCount(BaseModel):
    count: int


class StepAnswer(BaseModel):
    name: str
    action: str
    after: list[str]
    status: str
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    closed_at: datetime | None
    duration_ms: float | None
    failure: dict[str, Any] | None
    output: dict[str, Any] | None


class RedrivesAnswer(BaseModel):
    """Which saga this one is a redrive of, from where, and who wanted that; `job`: as one of many."""

    saga_id: str
    from_steps: list[str]
    by: str
    reason: str
    job: str


class SagaAnswer(SagaSummary):
    """`redriven_as` is the saga that is a redrive of this one."""

    input: dict[str, Any] | None
    abort: dict[str, Any] | None
    labels: dict[str, str]
    steps: list[StepAnswer]
    redrives: RedrivesAnswer | None
    redriven_as: str | None
    as_of_sequence: int


class FactAnswer(BaseModel):
    sequence: int
    fact: dict[str, Any]


class FactsAnswer(BaseModel):
    items: list[FactAnswer]


class MomentAnswer(BaseModel):
    sequence: int
    at: datetime
    offset_ms: float
    step: str
    kind: str
    text: str


class TimelineAnswer(BaseModel):
    items: list[MomentAnswer]


class StatisticsAnswer(BaseModel):
    name: str
    by_status: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None


class StatisticsPage(BaseModel):
    items: list[StatisticsAnswer]


class DefinitionSummary(BaseModel):
    name: str
    version: str
    description: str
    steps: int
    content_hash: str


class DefinitionPage(BaseModel):
    items: list[DefinitionSummary]
