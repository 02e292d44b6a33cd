"""Circuit breakers as they are shared: their settings, what is on record of one, and what is stated of it.

Transitions are no facts of a saga: they travel on `[<namespace>.]brk.<name>.<what happened>`.
"""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.subjects import SAGA_STEP, valid_token

_MAX_NAME = 128
EVERY_BREAKER = "*"
HISTORY = 16
"""How many events a record keeps; a breaker that moves this often before one is stated loses the oldest."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerEventKind(StrEnum):
    """What happens to a breaker: it moves to a state, or somebody changes it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    CONFIGURED = "configured"
    DELETED = "deleted"


class BreakerConfig(BaseModel):
    """`failure_threshold` failures in a row open it for `reset_timeout_s`; then `half_open_max_calls` probes
    at once are let in, and `success_threshold` successes close it. A probe of which nothing is heard for
    `probe_lease_s` gives its place to another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure_threshold: int = Field(default=5, ge=1, le=10_000, strict=True)
    reset_timeout_s: float = Field(default=5.0, gt=0, le=86_400, strict=True, allow_inf_nan=False)
    half_open_max_calls: int = Field(default=1, ge=1, le=100, strict=True)
    success_threshold: int = Field(default=1, ge=1, le=10_000, strict=True)
    probe_lease_s: float = Field(default=30.0, gt=0, le=3_600, strict=True, allow_inf_nan=False)


class BreakerEvent(BaseModel):
    """One thing that happened to a breaker. `revision` counts the breaker's events, without gaps."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    name: str = Field(min_length=1, max_length=_MAX_NAME)
    revision: int = Field(ge=1)
    kind: BreakerEventKind
    state: BreakerState = Field(description="the state from now on")
    previous: BreakerState
    failures: int = Field(ge=0, description="failures in a row on record")
    time: AwareDatetime
    by: str = Field(default="", max_length=128, description="who did it; empty if it moved by itself")
    reason: str = Field(default="", max_length=1024)
    config: BreakerConfig | None = Field(default=None, description="of `configured`: the new settings")

    @property
    def id(self) -> str:
        """The message id: a repeat is the same event."""
        return f"{self.name}.{self.revision}"

    @classmethod
    def decode(cls, payload: bytes) -> "BreakerEvent":
        """The event in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not an event of a breaker: {explain(error)}") from error


class BreakerRecord(BaseModel):
    """What all processes know of a breaker: the value under its name in the bucket.

    `generation` counts the changes of state: a result of an older generation says nothing any more.
    `probes` are the leases of calls under way while half open, by id, with the moment they run out.
    A deleted breaker keeps its numbers, so that they never repeat.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    successes: int = 0
    opened_at: AwareDatetime | None = None
    generation: int = 0
    revision: int = 0
    config: BreakerConfig | None = Field(default=None, description="none: the default of each process")
    probes: dict[str, AwareDatetime] = Field(default_factory=dict)
    history: tuple[BreakerEvent, ...] = Field(default=(), description="the last events, oldest first")
    deleted: bool = False
    write: str = Field(default="", description="id of the write that made this value")

    @classmethod
    def decode(cls, payload: bytes) -> "BreakerRecord":
        """The record in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a breaker: {explain(error)}") from error


class Isolation(BaseModel):
    """On record of a namespace that recorded facts are played into: its breakers let nobody through, but those
    that are named in `let_out` (`*`: all)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: AwareDatetime
    let_out: tuple[str, ...] = ()

    def shuts(self, name: str) -> bool:
        """Whether the breaker of that name lets nobody through."""
        return not {name, EVERY_BREAKER} & set(self.let_out)

    @classmethod
    def decode(cls, payload: bytes) -> "Isolation":
        """The record in a message. Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not an isolation: {explain(error)}") from error


def valid_breaker_name(name: str) -> str:
    """The name itself: subject tokens with dots between them. Raises InvalidContract."""
    if len(name) > _MAX_NAME:
        raise InvalidContract(f"breaker name of {len(name)} characters is longer than {_MAX_NAME}")
    for token in name.split("."):
        if token == SAGA_STEP:
            raise InvalidContract(f"breaker name {name!r}: {SAGA_STEP} is reserved")
        valid_token(token, f"breaker name {name!r}: part")
    return name
