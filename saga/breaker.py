"""Circuit breakers: an async gate before pybreaker's state machine, with one state for all replicas.

pybreaker counts a cancelled task as a failure, replaces the exception that trips it, lets any number of
probes through when half open and takes late results for new ones. So the gate decides who goes in, hands on
only clear successes and failures, and what is older than the last transition counts for nothing.

A call through a closed breaker that works touches nothing but memory. An open breaker is no failed attempt:
the delivery is deferred until the breaker may be tried again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from contracts.breakers import BreakerConfig, BreakerRecord, BreakerState, valid_breaker_name
from contracts.failure import SagaError
from contracts.ids import new_saga_id
from events.breakers import BreakerBucket
from events.bus import Bus
from events.clock import Clock, utc_now
from saga.breaker_ledger import Ledger
from saga.breaker_machine import Ended, retry_after_s

_MIN_RETRY_S = 0.1
_SHUT_RETRY_S = 5.0


class BreakerOpen(SagaError):
    """The breaker lets nobody through for `retry_after_s` more seconds."""

    code = "breaker.open"

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"breaker {name} is open for {retry_after_s:.1f} s more")
        self.name = name
        self.retry_after_s = retry_after_s


class BreakerShut(BreakerOpen):
    """The breaker lets nobody through as long as recorded facts are played into this namespace without it."""

    code = "breaker.shut"

    def __init__(self, name: str) -> None:
        super().__init__(name, _SHUT_RETRY_S)
        self.args = (
            f"breaker {name} is shut: recorded facts are played into this namespace (saga replay --let-out {name})",
        )


@dataclass(frozen=True, slots=True)
class _Entered:
    generation: int
    probe: str | None


class Breaker:
    """One breaker: `async with breaker: call()`. Raises BreakerOpen on entry instead of calling, BreakerShut where the
    namespace is isolated.

    `fails` tells which exceptions speak against the other side; a refusal, for one, is an answer.
    """

    def __init__(self, name: str, ledger: Ledger, fails: Callable[[BaseException], bool]) -> None:
        self.name = valid_breaker_name(name)
        self._ledger = ledger
        self._fails = fails
        self._entered: dict[asyncio.Task[Any] | None, list[_Entered]] = {}

    @property
    def record(self) -> BreakerRecord:
        return self._ledger.view(self.name)

    @property
    def config(self) -> BreakerConfig:
        return self.record.config or self._ledger.default

    @property
    def state(self) -> BreakerState:
        return self.record.state

    @property
    def failures(self) -> int:
        return self.record.failures

    @property
    def retry_after_s(self) -> float:
        return retry_after_s(self.record, self._ledger.default, self._ledger.clock())

    async def __aenter__(self) -> Self:
        self._ledger.enlist(self.name)
        if self._ledger.shuts(self.name):
            raise BreakerShut(self.name)
        probe = None if self.state is BreakerState.CLOSED else await self._probe()
        entered = self._entered.setdefault(asyncio.current_task(), [])
        entered.append(_Entered(self.record.generation, probe))
        return self

    async def _probe(self) -> str | None:
        if (left_s := self.retry_after_s) > 0:
            raise BreakerOpen(self.name, left_s)
        probe = new_saga_id()
        try:
            admitted = await self._ledger.ask_for_probe(self.name, probe)
        except BaseException:
            self._end(_Entered(self.record.generation, probe), worked=None)
            raise
        if admitted:
            return probe
        if self.state is BreakerState.CLOSED:
            # Another's probe has closed it meanwhile.
            return None
        raise BreakerOpen(
            self.name, self.retry_after_s or max(_MIN_RETRY_S, self.config.reset_timeout_s / 10)
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        entered = self._entered[task].pop()
        if not self._entered[task]:
            del self._entered[task]
        if error is not None and not isinstance(error, Exception):
            # Cancelled from outside: says nothing about the other side.
            self._end(entered, worked=None)
        else:
            self._end(entered, worked=error is None or not self._fails(error))

    def _end(self, entered: _Entered, *, worked: bool | None) -> None:
        ended = Ended(
            at=self._ledger.clock(), generation=entered.generation, worked=worked, probe=entered.probe
        )
        self._ledger.hear(self.name, ended)


class Breakers:
    """The breakers of one process, made on first use. Without a ledger of a bus they are its own."""

    def __init__(
        self,
        config: BreakerConfig | None = None,
        *,
        fails: Callable[[BaseException], bool],
        clock: Clock = utc_now,
        ledger: Ledger | None = None,
    ) -> None:
        self._ledger = ledger or Ledger(config or BreakerConfig(), clock)
        self._fails = fails
        self._by_name: dict[str, Breaker] = {}

    def get(self, name: str) -> Breaker:
        """The breaker of that name. Raises InvalidContract if it cannot be part of a subject."""
        if name not in self._by_name:
            self._by_name[name] = Breaker(name, self._ledger, self._fails)
        return self._by_name[name]

    def all(self) -> list[Breaker]:
        return list(self._by_name.values())


@asynccontextmanager
async def shared_breakers(
    bus: Bus, config: BreakerConfig, *, fails: Callable[[BaseException], bool], clock: Clock = utc_now
) -> AsyncIterator[Breakers]:
    """Breakers whose state all processes on the bus share; `config` is for those nobody has configured."""
    async with Ledger(config, clock, BreakerBucket(bus)) as ledger:
        yield Breakers(fails=fails, ledger=ledger)
