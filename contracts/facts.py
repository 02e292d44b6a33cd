"""Facts: immutable statements about one saga, one message in the stream each.

The envelope is a CloudEvents 1.0 event in structured JSON (attributes by their names in the spec,
extensions in lower case as the spec asks). `type` is `saga.<kind>`, `subject` is the step or `_saga`,
`id` is also the message id, so a fact that is sent twice is one fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from contracts.directives import MAX_DIRECTIVES
from contracts.failure import Failure, InvalidContract
from contracts.subjects import SAGA_STEP

MAX_FACT_BYTES = 256 * 1024
_TYPE_PREFIX = "saga."


class FactKind(StrEnum):
    """Every fact the design knows. `started`, `completed`, `compensated` and `failed` are also saga-level."""

    STARTED = "started"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    ATTEMPT_FAILED = "attempt_failed"
    FAILED = "failed"
    STOOD_DOWN = "stood_down"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"
    COMPENSATION_SKIPPED = "compensation_skipped"
    ABORTED = "aborted"
    PAUSED = "paused"
    RESUMED = "resumed"
    HELD = "held"
    SUSPENDED = "suspended"
    SIGNALLED = "signalled"
    WOKEN = "woken"
    RETRY_REQUESTED = "retry_requested"
    SKIP_REQUESTED = "skip_requested"


type FactKey = tuple[str, str]
"""A step (or `_saga`) and a fact kind."""

STARTED_KEY: FactKey = (SAGA_STEP, FactKind.STARTED)
ABORTED_KEY: FactKey = (SAGA_STEP, FactKind.ABORTED)
PAUSED_KEY: FactKey = (SAGA_STEP, FactKind.PAUSED)
RESUMED_KEY: FactKey = (SAGA_STEP, FactKind.RESUMED)

REDRIVE = "/redrive"
"""The source of the facts with which a redrive begins: its start, and what it takes over"""


class Fact(BaseModel):
    """The envelope. `data` has the shape of the kind's model below."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, max_length=256)
    source: str = Field(min_length=1, description="URI of the participant that states it")
    type: str = Field(pattern=r"^saga\.[a-z_]+$")
    subject: str = Field(min_length=1, max_length=64, description="the step, or _saga")
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    sagaid: str = Field(min_length=1, max_length=64)
    definition: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}@[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")
    correlationid: str
    causationid: str = ""
    traceparent: str = ""
    directives: str = Field(default="", max_length=MAX_DIRECTIVES, description="JSON of Directives, if any")
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.type[len(_TYPE_PREFIX) :]

    @property
    def key(self) -> FactKey:
        return self.subject, self.type[len(_TYPE_PREFIX) :]

    @property
    def saga(self) -> str:
        return self.definition.partition("@")[0]

    @staticmethod
    def type_of(kind: str) -> str:
        return _TYPE_PREFIX + kind

    @classmethod
    def decode(cls, payload: bytes) -> "Fact":
        """The fact in a message. Raises InvalidContract with the place and the reason, never the payload."""
        if len(payload) > MAX_FACT_BYTES:
            raise InvalidContract(
                f"fact of {len(payload)} bytes is larger than the limit of {MAX_FACT_BYTES}"
            )
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a fact: {explain(error)}") from error

    def encode(self) -> bytes:
        """The message. Raises InvalidContract if it is larger than 256 KiB."""
        return _limited(self.id, self.__pydantic_serializer__.to_json(self))


def _limited(id: str, payload: bytes) -> bytes:
    if len(payload) > MAX_FACT_BYTES:
        raise InvalidContract(
            f"fact {id} of {len(payload)} bytes is larger than the limit of {MAX_FACT_BYTES}: "
            "keep large data outside and carry a reference"
        )
    return payload


def explain(error: ValidationError) -> str:
    """All problems of a validation error on one line, as JSON pointer and reason, without the input."""
    return "; ".join(
        f"/{'/'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )


# Values that are made for every hop are not frozen: that would cost three times as much. Nobody changes them.
@dataclass(slots=True)
class Recorded:
    """A fact with its place in the stream."""

    sequence: int
    fact: Fact


type Facts = Mapping[FactKey, Recorded]
"""What a reader knows of one saga: the last fact of every kind, by step and kind."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Carried(_Data):
    """The part of the saga's data that later steps need: of the input, and of earlier outputs by step."""

    input: dict[str, Any] = Field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Redriven(_Data):
    """Who redrives another saga by this one, and why; `job`: as one of many."""

    by: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    job: str = ""


class SagaStarted(_Data):
    """`_saga.started`: the input, and the content hash of the definition the saga is pinned to.

    `deadline_s`, where it is given, counts instead of the definition's. `redriven`: the directives say of which saga
    and from where.
    """

    input: dict[str, Any]
    definition_hash: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    deadline_s: float | None = Field(default=None, gt=0, exclude_if=lambda given: given is None)
    redriven: Redriven | None = Field(default=None, exclude_if=lambda given: given is None)


class StepStarted(_Data):
    """`started`: written ahead of a step that has a compensation."""

    input: dict[str, Any]
    attempt: int = Field(ge=1)


class StepCompleted(_Data):
    """`completed`: the output, and what later steps need of what went before. Durations in milliseconds."""

    output: dict[str, Any]
    carried: Carried = Carried()
    attempt: int = Field(default=1, ge=1)
    duration_ms: float = 0.0


class StepSkipped(_Data):
    """`skipped`: the condition was false, or somebody (`by`) wanted it skipped."""

    reason: str
    by: str = ""
    carried: Carried = Carried()


class AttemptFailed(_Data):
    """`attempt_failed`: one attempt failed and will be repeated, not before `not_before`.

    `parked`: no delivery waits for that moment, a timer on the server does. `on` is the sequence of the fact
    whose delivery works on the step.
    """

    failure: Failure
    attempt: int = Field(ge=1)
    delay_s: float = Field(ge=0)
    not_before: AwareDatetime
    compensation: bool = Field(default=False, description="an attempt to undo, not to do")
    parked: bool = False
    on: int = Field(default=0, ge=0)


class StepFailed(_Data):
    """`failed`: a step failed for good."""

    failure: Failure
    attempt: int = Field(ge=1)
    carried: Carried = Carried()


class SagaAborted(_Data):
    """`_saga.aborted`: why the saga turns round, and who says so. `parent`: what its parent does is undone."""

    cause: Literal["step", "cancel", "deadline", "parent"]
    step: str = ""
    failure: Failure | None = None
    reason: str = ""
    by: str = ""


class StoodDown(_Data):
    """`stood_down`: a started step of an aborted saga had no effect, so there is nothing to undo."""

    reason: str


class StepCompensated(_Data):
    """`compensated`: undone. `output_known` is false if it was not known whether there was an effect."""

    attempt: int = Field(default=1, ge=1)
    output_known: bool = True
    duration_ms: float = 0.0


class CompensationFailed(_Data):
    """`compensation_failed`: could not be undone; a person must act."""

    failure: Failure
    attempt: int = Field(ge=1)


class Intervention(_Data):
    """What a person wanted, and why: `paused`, `resumed`, `retry_requested`, `skip_requested`."""

    by: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class CompensationSkipped(Intervention):
    """`compensation_skipped`: closes a step that could not be undone and will not be."""


class StepHeld(_Data):
    """`held`: the step is due, and waits because the saga is paused."""

    paused_by: str
    reason: str


class StepSuspended(_Data):
    """`suspended`: the step waits until an instant, for a signal, or for whichever comes first."""

    until: AwareDatetime | None = None
    signal: bool = False


class StepSignalled(_Data):
    """`signalled`: what a step may wait for has come from outside. The last signal counts."""

    by: str = Field(min_length=1)
    payload: dict[str, Any] = Field(default_factory=dict)


class StepWoken(_Data):
    """`woken`: what a resting step waited for has come. `rest` is the sequence of the fact that laid it down."""

    rest: int = Field(ge=1)
    reason: str


class SagaOutcome(_Data):
    """`_saga.completed`, `_saga.compensated`, `_saga.failed`: the outcome the saga log has recorded."""

    sequence: int = Field(description="stream sequence of the fact that ended the saga")
    duration_ms: float = 0.0


SAGA_DATA: Mapping[str, type[BaseModel]] = {
    FactKind.STARTED: SagaStarted,
    FactKind.ABORTED: SagaAborted,
    FactKind.PAUSED: Intervention,
    FactKind.RESUMED: Intervention,
    FactKind.COMPLETED: SagaOutcome,
    FactKind.COMPENSATED: SagaOutcome,
    FactKind.FAILED: SagaOutcome,
}
STEP_DATA: Mapping[str, type[BaseModel]] = {
    FactKind.STARTED: StepStarted,
    FactKind.COMPLETED: StepCompleted,
    FactKind.SKIPPED: StepSkipped,
    FactKind.ATTEMPT_FAILED: AttemptFailed,
    FactKind.FAILED: StepFailed,
    FactKind.STOOD_DOWN: StoodDown,
    FactKind.COMPENSATED: StepCompensated,
    FactKind.COMPENSATION_FAILED: CompensationFailed,
    FactKind.COMPENSATION_SKIPPED: CompensationSkipped,
    FactKind.HELD: StepHeld,
    FactKind.SUSPENDED: StepSuspended,
    FactKind.SIGNALLED: StepSignalled,
    FactKind.WOKEN: StepWoken,
    FactKind.RETRY_REQUESTED: Intervention,
    FactKind.SKIP_REQUESTED: Intervention,
}


def data_model(step: str, kind: str) -> type[BaseModel]:
    """The model of a fact's data. Raises InvalidContract for a fact the design does not know."""
    known = SAGA_DATA if step == SAGA_STEP else STEP_DATA
    if kind not in known:
        raise InvalidContract(f"no fact {step}.{kind}: known are {', '.join(sorted(known))}")
    return known[kind]


@dataclass(slots=True)
class NewFact:
    """A fact about to be stated. Every part of it was validated when it came in, so it is no model (yet)."""

    id: str
    content: dict[str, Any]

    def encode(self) -> bytes:
        """The message. Raises InvalidContract if it is larger than 256 KiB."""
        return _limited(self.id, to_json(self.content))


def state_fact(
    *,
    about: Fact | None,
    definition: str,
    saga_id: str,
    step: str,
    kind: str,
    data: BaseModel | dict[str, Any],
    source: str,
    time: datetime,
    fact_id: str,
    correlation_id: str = "",
    traceparent: str = "",
    directives: str = "",
) -> NewFact:
    """A new fact, caused by `about` (None for the first fact of a saga). `data` may be JSON data already."""
    content = {
        "specversion": "1.0",
        "id": fact_id,
        "source": source,
        "type": _TYPE_PREFIX + kind,
        "subject": step,
        "time": time,
        "datacontenttype": "application/json",
        "sagaid": saga_id,
        "definition": definition,
        "correlationid": correlation_id or (about.correlationid if about else saga_id),
        "causationid": about.id if about else "",
        "traceparent": traceparent or (about.traceparent if about else ""),
        "data": data if isinstance(data, dict) else data.__pydantic_serializer__.to_python(data, mode="json"),
    }
    if told := directives or (about.directives if about else ""):
        content["directives"] = told
    return NewFact(fact_id, content)
