"""When recorded facts are due: as far from one another as they were, so many times faster, or at once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from contracts.failure import InvalidContract
from events.clock import monotonic

MAX = "max"
ORIGINAL = "original"

type Now = Callable[[], float]
type Sleep = Callable[[float], Awaitable[None]]


def factor_of(speed: str) -> float | None:
    """How many times as fast; None for as fast as can be. Raises InvalidContract."""
    if speed in (MAX, ORIGINAL):
        return None if speed == MAX else 1.0
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise InvalidContract(
            f"--speed {speed!r}: expected {ORIGINAL}, {MAX}, or how many times as fast, as 10"
        )
    return factor


class Pace:
    """Counts from the moment it is made, which is that of the fact of `first`."""

    def __init__(
        self, factor: float | None, first: datetime, now: Now = monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._factor = factor
        self._first = first
        self._now = now
        self._sleep = sleep
        self._begun = now()

    @property
    def unbounded(self) -> bool:
        """Whether facts come as fast as they can, so that somebody must say how many sagas at once."""
        return self._factor is None

    async def due(self, time: datetime) -> None:
        """Wait until a fact of this time is due."""
        if self._factor is None:
            return
        at = self._begun + (time - self._first).total_seconds() / self._factor
        if (wait_s := at - self._now()) > 0:
            await self._sleep(wait_s)
