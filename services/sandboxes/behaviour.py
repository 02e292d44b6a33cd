"""How the sandbox's operators behave: latency, failures and outages, as set from outside."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from contracts.payments import Operator
from events.clock import monotonic
from services.sandboxes.profiles import PROFILES, Meaning


class Behaviour(BaseModel):
    """How an operator behaves from now on. `latency_ms`: none means what its profile says.

    `outage` lasts until it is taken back, `outage_s` that many seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: float | None = Field(default=None, ge=0, le=60_000)
    failure_rate: float = Field(default=0, ge=0, le=1)
    outage: bool = False
    outage_s: float = Field(default=0, ge=0, le=86_400)


class DeclinedError(Exception):
    """The operator says no, in its own word: 503 has no effect, 422 will never have one."""

    def __init__(self, operator: Operator, meaning: Meaning, message: str) -> None:
        super().__init__(message)
        self.status = 503 if meaning == "unavailable" else 422
        self.body = {"code": PROFILES[operator].words[meaning], "message": message}


@dataclass
class World:
    """What can be set from outside, and what the magic numbers remember."""

    random: Random
    clock_s: Callable[[], float] = monotonic
    behaviour: dict[Operator, Behaviour] = field(default_factory=dict)
    outage_until: dict[Operator, float] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    def behave(self, operator: Operator, behaviour: Behaviour) -> None:
        self.behaviour[operator] = behaviour
        self.outage_until[operator] = self.clock_s() + behaviour.outage_s

    async def meet(self, operator: Operator) -> None:
        """Behave as set: take time, be out, or fail. Raises DeclinedError."""
        now = self.behaviour.get(operator, Behaviour())
        latency_ms = PROFILES[operator].latency_ms if now.latency_ms is None else now.latency_ms
        await asyncio.sleep(latency_ms / 1000)
        out = now.outage or self.clock_s() < self.outage_until.get(operator, 0)
        if out or self.random.random() < now.failure_rate:
            raise DeclinedError(operator, "unavailable", "out of service")
