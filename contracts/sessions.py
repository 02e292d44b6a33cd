"""Sessions: work that belongs together from the view of whoever does it, over any number of sagas."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.subjects import TOKEN

MAX_SAGAS = 100
SessionId = Annotated[str, StringConstraints(pattern=rf"^{TOKEN}$")]


class SessionRecord(BaseModel):
    """A session: opened by the first step that is run in it. `sagas` are the newest ones of it.

    `attempts` are those that worked, `failures` those that failed, `undone` the steps that were undone.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    session_id: SessionId
    user: str = ""
    opened_at: AwareDatetime
    active_at: AwareDatetime
    sagas: tuple[str, ...] = ()
    last_action: str = ""
    attempts: int = Field(default=0, ge=0)
    failures: int = Field(default=0, ge=0)
    undone: int = Field(default=0, ge=0)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a session: {explain(error)}") from error

    def idle_s(self, now: datetime) -> float:
        """Seconds since something was last run in it."""
        return max(0.0, (now - self.active_at).total_seconds())
