"""Timers: what the server keeps until its moment, and gives back to whoever keeps the time."""

from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract
from contracts.subjects import SAGA_STEP


class Timer(BaseModel):
    """A moment in the life of a saga: the end of a parked step's rest, or (step `_saga`) the deadline.

    There is one timer per saga and step: arming it again replaces it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    saga_id: str = Field(min_length=1, max_length=64)
    definition: str
    step: str = SAGA_STEP
    due: AwareDatetime

    @property
    def is_deadline(self) -> bool:
        return self.step == SAGA_STEP

    @classmethod
    def decode(cls, payload: bytes) -> "Timer":
        """The timer in a message. Raises InvalidContract."""
        try:
            return cls.model_validate_json(payload)
        except ValueError as error:
            raise InvalidContract(f"not a timer: {error}") from error


def deadline_of(definition: SagaDefinition, begun: datetime, own_s: float | None) -> datetime | None:
    """When a saga must have ended: so many seconds after its start as that says, else as its definition does."""
    deadline_s = own_s or definition.deadline_s
    return begun + timedelta(seconds=deadline_s) if deadline_s is not None else None
