"""The chain that both sides run, and how a load of sagas is put on it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

STEPS = tuple(f"step_{number}" for number in range(1, 10))

type Ended = Callable[[str], None]
type Start = Callable[[], Awaitable[str]]
type Settled = Callable[[], Awaitable[None]]


class Arrivals:
    """Lets a starter wait until its saga has ended, whichever of the two comes first."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def ended(self, saga_id: str) -> None:
        waiting = self._future(saga_id)
        if not waiting.done():
            waiting.set_result(None)

    async def wait(self, saga_id: str) -> None:
        await self._future(saga_id)
        del self._waiting[saga_id]

    def _future(self, saga_id: str) -> asyncio.Future[None]:
        return self._waiting.setdefault(saga_id, asyncio.get_running_loop().create_future())


@dataclass(frozen=True, slots=True)
class Measured:
    """Sagas per second over the whole run, and the median duration of one saga in milliseconds."""

    sagas_per_s: float
    p50_ms: float


async def load(
    start: Start, arrivals: Arrivals, *, sagas: int, in_flight: int, settled: Settled | None = None
) -> Measured:
    """Run `sagas` chains, `in_flight` at once; the clock stops when `settled` says that all is written down."""
    durations: list[float] = []
    left = iter(range(sagas))

    async def runner() -> None:
        for _ in left:
            begun = perf_counter()
            await arrivals.wait(await start())
            durations.append(perf_counter() - begun)

    begun = perf_counter()
    await asyncio.gather(*(runner() for _ in range(in_flight)))
    if settled is not None:
        await settled()
    return Measured(sagas / (perf_counter() - begun), median(durations) * 1000)
