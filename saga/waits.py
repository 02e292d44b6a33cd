"""Waiting in a handler, for an instant or for a signal, without holding a process.

The handler is left at the wait (nothing it did in its transaction stays), and run from its beginning when what
it waits for has come; then the wait is over at once. So a handler waits first, and waits once. One that keeps
in its own database what it waits for may wait as often as it likes (`again`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from contracts.facts import StepSuspended
from contracts.failure import SagaError
from events.clock import Clock


class Suspend(SagaError):
    """Leave the handler until then, or until a signal comes."""

    code = "action.suspend"

    def __init__(self, wait: StepSuspended) -> None:
        super().__init__("the step waits")
        self.wait = wait


@dataclass(slots=True)
class Waits:
    """What a step has waited for, and the signal that has come."""

    clock: Clock
    suspended: dict[str, Any] | None = None
    signal: dict[str, Any] | None = None

    def until(self, instant: datetime) -> None:
        """Raises Suspend unless the instant has come. Which one was waited for first counts."""
        if self.suspended is None and self.clock() < instant:
            raise Suspend(StepSuspended(until=instant))

    def again(self, timeout_s: float) -> None:
        """Raises Suspend in any case: until the next signal, or until the time is over."""
        raise Suspend(StepSuspended(until=self.clock() + timedelta(seconds=timeout_s), signal=True))

    def for_signal(self, timeout_s: float | None) -> dict[str, Any] | None:
        """The signal's payload, or None when the time was over. Raises Suspend if neither has come."""
        if self.signal is not None:
            return self.signal
        if self.suspended is not None and self.suspended.get("until"):
            return None
        until = None if timeout_s is None else self.clock() + timedelta(seconds=timeout_s)
        raise Suspend(StepSuspended(until=until, signal=True))
