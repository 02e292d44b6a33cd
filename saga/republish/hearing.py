"""What is said in the namespace of the sagas that are played, by the services that are there and by the player."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Self

from contracts.facts import FactKey, Facts, Recorded
from events.bus import Bus
from events.clock import monotonic
from events.read import follow, last_sequence, read_saga
from saga.exporting import fact_in

_PAUSE_S = 0.005


class Saga:
    """What is known of one saga: the last fact of every key."""

    def __init__(self) -> None:
        self.said: dict[FactKey, Recorded] = {}
        self.ids: dict[str, Recorded] = {}
        self._changed = asyncio.Event()
        self._heard_at = 0.0

    def hear(self, recorded: Recorded) -> None:
        """Take a fact down; it may come twice, and late."""
        self.ids[recorded.fact.id] = recorded
        before = self.said.get(recorded.fact.key)
        if before is None or before.sequence < recorded.sequence:
            self.said[recorded.fact.key] = recorded
            self._heard_at = monotonic()
            self._changed.set()

    async def until(self, holds: Callable[[Facts], bool], since: float, patience_s: float) -> None:
        """Wait until it holds of what is said, or nothing new was said for so many seconds since that moment."""
        while not holds(self.said):
            self._changed.clear()
            left_s = max(since, self._heard_at) + patience_s - monotonic()
            try:
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            except TimeoutError:
                return


class Hearing:
    """Hears what is said of the sagas it attends to. Use it as a context."""

    def __init__(self, target: Bus) -> None:
        self._target = target
        self._sagas: dict[str, Saga] = {}
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
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def attend(self, saga_id: str) -> Saga:
        """What was said of a saga, and from now on what is. Raises ReadFailed."""
        saga = self._sagas[saga_id] = Saga()
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
                        saga.hear(Recorded(message.sequence, fact))
