"""Limits that all replicas share, as one record per action: tokens of a rate, and who is in at present.

Pure: a record and a wish give another record, or how long to wait. Whoever is in and dies is out when its lease ends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts.facts import explain
from contracts.failure import InvalidContract
from contracts.policies import RateLimit

_MIN_WAIT_S = 0.02
# Nobody knows when somebody leaves: ask again soon, but no more often than that.
_FULL_WAIT_S = 0.1


class LimitRecord(BaseModel):
    """The state of one action's limits."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokens: float | None = Field(default=None, description="left at `at`; none: the bucket is full")
    at: AwareDatetime | None = None
    inside: dict[str, AwareDatetime] = Field(
        default_factory=dict, description="who is in, and until when at most"
    )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a record of limits: {explain(error)}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Somebody who wants in: under a name that is its own, for `lease_s` at most."""

    name: str
    lease_s: float
    rate: RateLimit | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Let:
    """What became of the wish: let in (`wait_s` is 0), or to ask again after so long."""

    record: LimitRecord
    wait_s: float = 0.0


def enter(record: LimitRecord, entry: Entry, now: datetime) -> Let:
    """Let somebody in, or say how long to wait. Who is in already stays in, and takes no further token."""
    inside = {name: until for name, until in record.inside.items() if until > now}
    until = now + timedelta(seconds=entry.lease_s)
    if entry.name in inside:
        return Let(record.model_copy(update={"inside": inside | {entry.name: until}}))
    if entry.concurrency is not None and len(inside) >= entry.concurrency:
        return Let(record, _FULL_WAIT_S)
    tokens = _tokens(record, entry.rate, now)
    if entry.rate is not None and tokens < 1:
        return Let(record, max(_MIN_WAIT_S, (1 - tokens) / entry.rate.per_s))
    changes: dict[str, object] = {"inside": inside}
    if entry.concurrency is not None:
        changes["inside"] = inside | {entry.name: until}
    if entry.rate is not None:
        changes |= {"tokens": tokens - 1, "at": max(now, record.at or now)}
    return Let(record.model_copy(update=changes))


def leave(record: LimitRecord, name: str) -> LimitRecord:
    """The record without somebody; itself if it was not in."""
    if name not in record.inside:
        return record
    return record.model_copy(
        update={"inside": {one: until for one, until in record.inside.items() if one != name}}
    )


def _tokens(record: LimitRecord, rate: RateLimit | None, now: datetime) -> float:
    if rate is None:
        return 0.0
    if record.tokens is None or record.at is None:
        return float(rate.burst)
    # Clocks of replicas differ a little: time does not go back.
    passed_s = max(0.0, (now - record.at).total_seconds())
    return min(float(rate.burst), record.tokens + passed_s * rate.per_s)
