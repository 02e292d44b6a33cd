"""Circuit breakers: pybreaker's state machine behind an async gate of our own.

pybreaker counts a cancelled task as a failure, replaces the exception that trips it, lets any number of
probes through when half open and takes late results for new ones. So the gate decides who goes in, hands
pybreaker only clear successes and failures, and drops results that are older than the last transition.

An open breaker is no failed attempt: the delivery is deferred until the breaker may be tried again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pybreaker
import structlog

from contracts.failure import SagaError
from events.clock import monotonic

log = structlog.get_logger(__name__)


class BreakerOpen(SagaError):
    """The breaker lets nobody through for `retry_after_s` more seconds."""

    code = "breaker.open"

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"breaker {name} is open for {retry_after_s:.1f} s more")
        self.name = name
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """`failure_threshold` failures in a row open it for `reset_timeout_s`; then `half_open_max_calls` probes
    at once are let in, and `success_threshold` successes close it."""

    failure_threshold: int = 5
    reset_timeout_s: float = 5.0
    half_open_max_calls: int = 1
    success_threshold: int = 1


class Breaker:
    """One breaker: `async with breaker: call()`. Raises BreakerOpen on entry instead of calling.

    `fails` tells which exceptions speak against the other side; a refusal, for one, is an answer.
    """

    def __init__(
        self,
        name: str,
        config: BreakerConfig,
        *,
        fails: Callable[[BaseException], bool],
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self.config = config
        self._fails = fails
        self._clock_s = clock_s
        self._machine = pybreaker.CircuitBreaker(
            fail_max=config.failure_threshold,
            # The gate keeps the time, by a clock that tests can move.
            reset_timeout=0,
            success_threshold=config.success_threshold,
            throw_new_error_on_trip=False,
            name=name,
        )
        self._opened_at: float | None = None
        self._generation = 0
        self._probes = 0
        self._entered: dict[asyncio.Task[Any] | None, tuple[int, bool]] = {}

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return str(self._machine.current_state)

    @property
    def failures(self) -> int:
        return int(self._machine.fail_counter)

    @property
    def retry_after_s(self) -> float:
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self.config.reset_timeout_s - self._clock_s())

    def reset(self) -> None:
        """Close it, as a person's decision."""
        self._machine.close()
        self._moved()

    async def __aenter__(self) -> Self:
        if self.state == pybreaker.STATE_OPEN:
            if self.retry_after_s > 0:
                raise BreakerOpen(self.name, self.retry_after_s)
            self._machine.half_open()
            self._moved()
        probe = self.state == pybreaker.STATE_HALF_OPEN
        if probe and self._probes >= self.config.half_open_max_calls:
            raise BreakerOpen(self.name, max(0.1, self.config.reset_timeout_s / 10))
        self._probes += probe
        self._entered[asyncio.current_task()] = (self._generation, probe)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        generation, probe = self._entered.pop(asyncio.current_task())
        if generation != self._generation:
            return
        self._probes -= probe
        if error is not None and not isinstance(error, Exception):
            # Cancelled from outside: says nothing about the other side.
            return
        before = self.state
        self._record(error if error is not None and self._fails(error) else None)
        if self.state != before:
            self._moved()

    def _record(self, error: BaseException | None) -> None:
        def outcome() -> None:
            if error is not None:
                raise error

        try:
            self._machine.call(outcome)
        except BaseException as raised:
            if raised is not error:
                raise

    def _moved(self) -> None:
        self._generation += 1
        self._probes = 0
        self._opened_at = self._clock_s() if self.state == pybreaker.STATE_OPEN else None
        log.info("breaker.moved", breaker=self.name, state=self.state)


class Breakers:
    """The breakers of one process, made on first use."""

    def __init__(
        self,
        config: BreakerConfig | None = None,
        *,
        fails: Callable[[BaseException], bool],
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._config = config or BreakerConfig()
        self._fails = fails
        self._clock_s = clock_s
        self._by_name: dict[str, Breaker] = {}

    def get(self, name: str) -> Breaker:
        if name not in self._by_name:
            self._by_name[name] = Breaker(name, self._config, fails=self._fails, clock_s=self._clock_s)
        return self._by_name[name]

    def all(self) -> list[Breaker]:
        return list(self._by_name.values())
