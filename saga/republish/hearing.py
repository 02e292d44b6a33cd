"""What is said in the namespace of the sagas that are played, by the services that are there and by the player."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Self

from contracts.facts import FactKey, Facts, Recorded
from events.bus import Bus
from events.clock import monotonic
from events.read import follow, last_sequence, read_saga
from saga.exporting import fact_in

_PAUSE_S = 0.02


class Saga:
    """What is known of one saga: the last fact of every key. `spoke`: when each source was last heard, of any saga."""

    def __init__(self, spoke: Mapping[str, float]) -> None:
        self.said: dict[FactKey, Recorded] = {}
        self.ids: dict[str, Recorded] = {}
        self._spoke = spoke
        self._heard_at = 0.0
        self._changed = asyncio.Event()

    def hear(self, recorded: Recorded) -> None:
        """Take a fact down; it may come twice, and late."""
        self.ids[recorded.fact.id] = recorded
        before = self.said.get(recorded.fact.key)
        if before is None or before.sequence < recorded.sequence:
            self.said[recorded.fact.key] = recorded
            self._heard_at = monotonic()
            self._changed.set()

    async def until(
        self, holds: Callable[[Facts], bool], source: str, *, since: float, patience_s: float
    ) -> None:
        """Wait until it holds of what is said; not longer than nothing was said for so many seconds since that moment,
        neither of this saga nor, of any other, by that source: who has much to do is not silent."""
        while not holds(self.said):
            self._changed.clear()
            heard_at = max(since, self._heard_at, self._spoke.get(source, 0.0))
            left_s = heard_at + patience_s - monotonic()
            if left_s <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._changed.wait()


class Hearing:
    """Hears what is said of the sagas it attends to. Use it as a context."""

    def __init__(self, target: Bus) -> None:
        self._target = target
        self._sagas: dict[str, Saga] = {}
        self._spoke: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for partition in range(self._target.settings.partitions):
            newest = await last_sequence(self._target, partition)
            task = asyncio.create_task(self._listen(partition, newest), name=f"hearing {partition}")
            self._tasks.append(task)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                # Whoever was not heard any more has been told as silent.
                raise ended

    async def attend(self, saga_id: str) -> Saga:
        """What was said of a saga, and from now on what is. Raises ReadFailed."""
        saga = self._sagas[saga_id] = Saga(self._spoke)
        for recorded in await read_saga(self._target, saga_id):
            saga.hear(recorded)
        return saga

    async def _listen(self, partition: int, newest: int) -> None:
        async with aclosing(follow(self._target, partition, newest, pause_s=_PAUSE_S)) as batches:
            async for batch in batches:
                for message in batch:
                    saga = self._sagas.get(message.subject.rpartition(".")[2])
                    fact = fact_in(message) if saga is not None else None
                    if saga is not None and fact is not None:
                        self._spoke[fact.source] = monotonic()
                        saga.hear(Recorded(message.sequence, fact))
