"""Time limits by the thousand: one timer looks after all of them, where a timer each costs a tenth of a hop.

A long limit is precise to a quarter of a second; a short one has a timer of its own.
"""

import asyncio
from types import TracebackType
from typing import Self

_SWEEP_S = 0.25
_SHORT_S = 5.0


class Limits:
    """`async with limits.of(seconds) as limit:` cancels the block and raises TimeoutError when they are over;
    `limit.expired()` tells that it was this limit. One event loop at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[asyncio.Timeout, float] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def of(self, seconds: float) -> "Limit":
        return Limit(self, seconds)

    def watch(self, timeout: asyncio.Timeout, seconds: float) -> None:
        """Look after a timeout that has been entered, until it is forgotten."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._sweeping = loop, None
            self._open.clear()
        self._open[timeout] = loop.time() + seconds
        if self._sweeping is None:
            self._sweeping = loop.call_later(_SWEEP_S, self._sweep, loop)

    def forget(self, timeout: asyncio.Timeout) -> None:
        self._open.pop(timeout, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for timeout in [timeout for timeout, until in self._open.items() if until <= now]:
            del self._open[timeout]
            timeout.reschedule(now)
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep, loop) if self._open else None


class Limit:
    """One limit; made by `Limits.of`."""

    __slots__ = ("_limits", "_seconds", "_timeout")

    def __init__(self, limits: Limits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds if seconds < _SHORT_S else None)

    def expired(self) -> bool:
        return self._timeout.expired()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        if self._seconds >= _SHORT_S:
            self._limits.watch(self._timeout, self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.forget(self._timeout)
        await self._timeout.__aexit__(kind, error, trace)
