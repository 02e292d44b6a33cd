"""Redriving many sagas: which, how, and how far that has come. Kept on the bus, so that it survives every process."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.facts import explain
from contracts.failure import InvalidContract

MAX_REFUSALS = 100
MAX_RATE_PER_S = 1_000.0

Label = Annotated[str, StringConstraints(min_length=2, max_length=577, pattern=r"^[^:\x00]+:[^\x00]*$")]
StepName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FailedSagas(_Contract):
    """Which sagas: ended, not completed, nobody's children. `failure_code` and `failure_step` are those of a step that
    failed; `label` is `name:value`, all must be there."""

    definition: str = Field(min_length=1, max_length=97, description="name, or name@version")
    status: tuple[Literal["compensated", "failed"], ...] = Field(
        default=("compensated", "failed"), min_length=1
    )
    failure_code: str | None = Field(default=None, max_length=128)
    failure_step: StepName | None = None
    started_after: AwareDatetime | None = None
    started_before: AwareDatetime | None = None
    label: tuple[Label, ...] = Field(default=(), max_length=32)


class RedriveManner(_Contract):
    """How each of them is redriven: from these steps (none: from where it must), with this merge patch on its input."""

    from_steps: tuple[StepName, ...] = Field(default=(), max_length=100)
    edit: dict[str, Any] | None = Field(default=None, description="JSON merge patch (RFC 7396)")


class JobState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Refusal(_Contract):
    """A saga that could not be redriven, and why."""

    saga_id: str
    detail: str


class RedriveJob(_Contract):
    """One job. `matched` is how many sagas were meant when it began; `refused` could not be redriven, `refusals` are
    the last of them. `cursor` is how far it has come; `worker` has it in hand until `leased_until`."""

    id: str
    sagas: FailedSagas
    manner: RedriveManner
    rate_per_s: float = Field(gt=0, le=MAX_RATE_PER_S)
    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)
    created_at: AwareDatetime
    matched: int = Field(ge=0)
    state: JobState = JobState.RUNNING
    redriven: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = Field(default=(), max_length=MAX_REFUSALS)
    cursor: str | None = None
    worker: str = ""
    leased_until: AwareDatetime | None = None
    updated_at: AwareDatetime
    ended_at: AwareDatetime | None = None

    @classmethod
    def decode(cls, payload: bytes) -> "RedriveJob":
        """The job in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a job of redrives: {explain(error)}") from error
