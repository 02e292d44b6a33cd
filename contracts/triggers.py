"""Triggers: what starts workflows. Pure data; every firing has an event, to which the input mapping refers.

    MANUAL      a person fires it                      API_CALL   a program does
    EVENT       a message on the bus                   WEBHOOK    an HTTP request, signed by Standard Webhooks
    SCHEDULE    a cron expression in a time zone

The event of a firing: `id` and `source` (one saga for each), `type`, `subject`, `time`, and `data`.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from contracts.definition import Token
from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.generic import Expression, SecretName
from contracts.pointers import Problem, place

WHOLE_EVENT: Final = "${event.data}"

WorkflowName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(@[A-Za-z0-9][A-Za-z0-9_.-]{0,31})?$")
]
EventName = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]*|\*)\.([A-Za-z0-9][A-Za-z0-9_-]*|\*)$")
]
Subject = Annotated[
    str, StringConstraints(pattern=r"^[^\s.>*$][^\s.>*]*(\.([^\s.>*]+|\*))*(\.>)?$", max_length=256)
]


class _Trigger(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Token
    workflow: WorkflowName = Field(description="a workflow or definition, or one version of it")
    description: str = Field(default="", max_length=500)
    enabled: bool = True
    when: Expression | None = Field(default=None, description="CEL over event: fires only if it holds")
    input: dict[str, Any] | Literal["${event.data}"] = Field(
        default=WHOLE_EVENT, description="input mapping with ${event.x} references"
    )


class ManualTrigger(_Trigger):
    kind: Literal["MANUAL"]


class ApiCallTrigger(_Trigger):
    kind: Literal["API_CALL"]


class EventTrigger(_Trigger):
    """Fires for every message that matches: a service's own event by name, or any subject a stream keeps."""

    kind: Literal["EVENT"]
    event: EventName | None = Field(default=None, description="<domain>.<what happened>; * for any")
    subject: Subject | None = Field(default=None, description="a subject of some stream; * and > for any")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.event is None) == (self.subject is None):
            raise ValueError("expected either event or subject")
        return self

    @property
    def heard(self) -> tuple[str | None, str | None]:
        """What it listens to."""
        return self.event, self.subject


class WebhookTrigger(_Trigger):
    """Fires for a signed request. With several secrets each may sign: rotate by adding one. Durations in seconds."""

    kind: Literal["WEBHOOK"]
    secrets: tuple[SecretName, ...] = Field(min_length=1, max_length=4)
    tolerance_s: float = Field(default=300, gt=0, le=86_400, description="between its timestamp and now")


class ScheduleTrigger(_Trigger):
    """Fires by a cron expression of five fields (Debian's rules).

    A time is missed if it is handled later than `grace_s` seconds after it: then it is skipped, or all that were
    missed fire once, or each of them does (the last `max_missed`).
    """

    kind: Literal["SCHEDULE"]
    cron: str = Field(max_length=128, examples=["*/15 8-18 * * MON-FRI"])
    time_zone: str = Field(default="UTC", max_length=64, examples=["Europe/Zurich"])
    missed: Literal["skip", "once", "all"] = "once"
    grace_s: float = Field(default=60, ge=1, le=86_400)
    max_missed: int = Field(default=100, ge=1, le=1_000)


Trigger = Annotated[
    ManualTrigger | ApiCallTrigger | EventTrigger | WebhookTrigger | ScheduleTrigger,
    Field(discriminator="kind"),
]
_TRIGGER: TypeAdapter[Trigger] = TypeAdapter(Trigger)


class InvalidTrigger(InvalidContract):
    """The trigger cannot work; `problems` has a pointer into it and a reason each."""

    code = "trigger.invalid"

    def __init__(self, name: str, problems: list[Problem]) -> None:
        super().__init__(f"trigger {name}: {'; '.join(map(str, problems))}")
        self.problems = [{"pointer": problem.pointer, "detail": problem.detail} for problem in problems]


def parse_trigger(document: Any) -> Trigger:
    """The trigger in JSON data. Raises InvalidTrigger with all that is wrong with its fields."""
    try:
        return _TRIGGER.validate_python(document)
    except ValidationError as error:
        name = document.get("name") if isinstance(document, dict) else None
        problems = [
            Problem(place(document, flaw["loc"], keep_last=flaw["type"] == "missing"), flaw["msg"])
            for flaw in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidTrigger(str(name or "?"), problems) from error


class TriggerRecord(BaseModel):
    """A trigger as it is kept. `generation` counts its changes: what an older one has armed counts no more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trigger: Trigger
    generation: int = Field(ge=1)
    created_at: AwareDatetime
    updated_at: AwareDatetime
    by: str = ""
    reason: str = ""
    deleted: bool = False

    @property
    def active(self) -> bool:
        """Whether it fires."""
        return self.trigger.enabled and not self.deleted

    @classmethod
    def decode(cls, payload: bytes) -> "TriggerRecord":
        """The record in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a trigger: {explain(error)}") from error


class Outcome(StrEnum):
    """What became of a firing. `repeated`: its event had started a saga before."""

    STARTED = "started"
    REPEATED = "repeated"
    REFUSED = "refused"
    MISSED = "missed"


class Firing(BaseModel):
    """One firing of a trigger, as its history tells it. `body`: the raw body of a webhook, in base64."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    trigger: str
    outcome: Outcome
    at: AwareDatetime
    event_id: str
    saga_id: str = ""
    definition: str = ""
    code: str = Field(default="", description="of a refusal")
    reason: str = ""
    by: str = ""
    body: str = ""

    @classmethod
    def decode(cls, payload: bytes) -> "Firing":
        """The firing in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a firing: {explain(error)}") from error


class DueTime(BaseModel):
    """What a schedule gives back when its time has come."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trigger: Token
    generation: int
    at: AwareDatetime

    @classmethod
    def decode(cls, payload: bytes) -> "DueTime":
        """The time in a message. Raises InvalidContract."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a due time: {explain(error)}") from error
