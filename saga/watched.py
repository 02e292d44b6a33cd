"""The sagas somebody has a say in: their steps are read before they run, all others need no reading.

Every process listens to `_saga.paused` and `skip_requested` by itself. It is told within milliseconds; a
step that comes due in that time runs, as it would have a moment earlier.
"""

import asyncio
from typing import Self

import structlog

from contracts.facts import FactKind
from contracts.subjects import SAGA_STEP
from events.bus import Bus
from events.read import watch

log = structlog.get_logger(__name__)


class WatchedSagas:
    """`saga_id in watched`. Use it as a context; it knows all earlier words when it has opened."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._ids: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def __contains__(self, saga_id: object) -> bool:
        return saga_id in self._ids

    async def __aenter__(self) -> Self:
        ready = []
        for partition in range(self._bus.settings.partitions):
            caught_up = asyncio.Event()
            ready.append(caught_up.wait())
            task = asyncio.create_task(self._listen(partition, caught_up), name=f"watched sagas {partition}")
            task.add_done_callback(_report)
            self._tasks.append(task)
        await asyncio.gather(*ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, partition: int, caught_up: asyncio.Event) -> None:
        subjects = self._bus.subjects
        wanted = [
            subjects.heard(partition, "*", SAGA_STEP, FactKind.PAUSED),
            subjects.heard(partition, "*", "*", FactKind.SKIP_REQUESTED),
        ]
        async for messages in watch(self._bus, partition, wanted):
            self._ids.update(message.subject.rpartition(".")[2] for message in messages)
            if not messages:
                caught_up.set()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("watched.ended", error=repr(error))
