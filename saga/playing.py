"""Playing a sample: its sagas are started as places get free, and waited for by what the log knows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any

from saga.api.parts import Parts
from saga.log.queries import Filter, Page
from saga.state import ENDED

_PAGE = 200


type Start = Callable[[], Awaitable[str]]
"""Starts one saga, or has it started; yields what tells it from the others"""


async def play_all(
    parts: Parts,
    starts: Sequence[Start],
    *,
    only: Filter,
    title: str,
    in_flight: int,
    timeout_s: float,
    show: Any = None,
) -> dict[str, int]:
    """Start all and wait until all have ended, or the time is over; the numbers of the starts by what they yielded.

    `only`: which sagas of the log are the sample's. `show` is a progress display, or None.
    """
    places = asyncio.Semaphore(in_flight)
    started: dict[str, int] = {}

    async def start_all() -> None:
        for number, start in enumerate(starts):
            # So that what is measured is a saga and not a queue.
            await places.acquire()
            started[await start()] = number

    with show or nullcontext():
        bar = show.add_task(title, total=len(starts)) if show else None
        starting = asyncio.create_task(start_all(), name="play")
        tell = (lambda done: show.update(bar, completed=done)) if show else (lambda done: None)
        try:
            async with asyncio.timeout(timeout_s):
                await _all_ended(parts, only, len(starts), places, tell, starting)
        except TimeoutError:
            # Reported as stuck.
            tell(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return started


async def _all_ended(
    parts: Parts, only: Filter, total: int, places: asyncio.Semaphore, tell: Any, starting: asyncio.Task[None]
) -> None:
    ended = Filter(name=only.name, labels=only.labels, status=tuple(status.value for status in ENDED))
    position = given_back = 0
    while (done := await parts.queries.count(ended)) < total:
        if starting.done():
            starting.result()
        for _ in range(done - given_back):
            places.release()
        given_back = done
        tell(done)
        await parts.log.projector.wait_beyond(0, position)
        position = parts.log.projector.positions[0]
    tell(total)


async def rows_of(parts: Parts, only: Filter) -> list[dict[str, Any]]:
    """The log's rows of these sagas, newest first."""
    rows: list[dict[str, Any]] = []
    page = Page([], "", 0)
    while page.next_cursor is not None:
        page = await parts.queries.page(only, limit=_PAGE, cursor=page.next_cursor or None)
        rows += page.items
    return rows


def percentiles(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """p50 and p99 of the durations of those that have ended, in milliseconds."""
    durations = sorted(row["duration_ms"] for row in rows if row["duration_ms"] is not None)
    if not durations:
        return 0.0, 0.0
    return durations[len(durations) // 2], durations[int(len(durations) * 0.99)]
