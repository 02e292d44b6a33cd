"""`/api/v1/breakers`: the circuit breakers that all replicas share; every change has a who and a why.

Also as `/api/v1/circuit-breakers`, by the name that workflows know them by.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from contracts.breakers import BreakerConfig, BreakerRecord, valid_breaker_name
from contracts.failure import NotFound
from events.clock import utc_now
from saga.api.parts import Parts
from saga.breaker_machine import Configure, Delete, Reset, retry_after_s

_RECENT = 20
_Name = Annotated[str, Path(max_length=128, examples=["operator.mpesa"])]
_By = Annotated[str, Query(min_length=1, max_length=128)]
_Reason = Annotated[str, Query(min_length=1, max_length=1024)]


class BreakerWords(BaseModel):
    """Who changes a breaker, and why; both are kept."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)


class BreakerConfigRequest(BreakerWords):
    """All settings of a breaker: those that are not given get their default."""

    config: BreakerConfig


class BreakerSummary(BaseModel):
    """`configured` is false while the default of each process applies; `config` is then this process's.

    `shut`: nobody is let through, whatever the state, because recorded facts are played into this namespace.
    """

    name: str
    state: str
    failures: int
    successes: int = Field(description="of probes, while half open")
    probes: int = Field(description="probes under way")
    opened_at: datetime | None
    retry_after_s: float
    generation: int
    revision: int
    configured: bool
    shut: bool = False
    config: BreakerConfig

    @classmethod
    def of(cls, record: BreakerRecord, default: BreakerConfig, *, shut: bool) -> "BreakerSummary":
        now = utc_now()
        return cls(
            name=record.name,
            state=record.state,
            failures=record.failures,
            successes=record.successes,
            probes=sum(until > now for until in record.probes.values()),
            opened_at=record.opened_at,
            retry_after_s=retry_after_s(record, default, now),
            generation=record.generation,
            revision=record.revision,
            configured=record.config is not None,
            shut=shut,
            config=record.config or default,
        )


class BreakerMove(BaseModel):
    """An event of a breaker, as the log has it."""

    revision: int
    sequence: int
    kind: str
    state: str
    previous: str
    failures: int
    time: datetime
    by: str
    reason: str
    config: dict[str, Any] | None


class BreakerAnswer(BreakerSummary):
    """`transitions` are the newest events in the log, newest first."""

    transitions: list[BreakerMove]


class BreakerPage(BaseModel):
    items: list[BreakerSummary]


def router(parts: Parts) -> APIRouter:
    """The routes over these parts, below both names."""
    routes = APIRouter()
    routes.include_router(_routes(parts, "/api/v1/breakers", "Breaker"))
    routes.include_router(_routes(parts, "/api/v1/circuit-breakers", "CircuitBreaker"))
    return routes


def _routes(parts: Parts, prefix: str, noun: str) -> APIRouter:
    routes = APIRouter(prefix=prefix, tags=["breakers"])
    ledger = parts.breakers

    def summary(record: BreakerRecord) -> BreakerSummary:
        return BreakerSummary.of(record, ledger.default, shut=ledger.shuts(record.name))

    @routes.get("", operation_id=f"list{noun}s")
    async def list_breakers() -> BreakerPage:
        return BreakerPage(items=[summary(record) for record in ledger.records()])

    @routes.get("/{name}", operation_id=f"get{noun}")
    async def get_breaker(name: _Name) -> BreakerAnswer:
        valid_breaker_name(name)
        found = next((record for record in ledger.records() if record.name == name), None)
        if found is None:
            raise NotFound(f"no breaker {name}: it is there once a step has used it")
        moves = [
            BreakerMove(**{field: row[field] for field in BreakerMove.model_fields})
            for row in await parts.log.breakers.recent(name, _RECENT)
        ]
        return BreakerAnswer(**summary(found).model_dump(), transitions=moves)

    @routes.put("/{name}/config", operation_id=f"configure{noun}")
    async def configure(name: _Name, body: BreakerConfigRequest) -> BreakerSummary:
        word = Configure(at=utc_now(), by=body.by, reason=body.reason, config=body.config)
        return summary(await ledger.rule(valid_breaker_name(name), word))

    @routes.post("/{name}/reset", operation_id=f"reset{noun}")
    async def reset(name: _Name, body: BreakerWords) -> BreakerSummary:
        word = Reset(at=utc_now(), by=body.by, reason=body.reason)
        return summary(await ledger.rule(valid_breaker_name(name), word))

    @routes.delete("/{name}", operation_id=f"delete{noun}")
    async def delete(name: _Name, by: _By, reason: _Reason) -> BreakerSummary:
        word = Delete(at=utc_now(), by=by, reason=reason)
        return summary(await ledger.rule(valid_breaker_name(name), word))

    return routes
