"""Live discovery: every process that serves actions says so on the bus, again and again; anybody can ask who does.

A process that stops takes its word back. One that is killed is forgotten after `OFFER_TTL_S`. While the bus is away
nothing is said, and said again when it is back. Nothing in a saga waits for any of this.
"""

import asyncio
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import structlog

from contracts.ids import new_saga_id
from contracts.offers import OFFER_TTL_S, Offer, OfferedAction
from events.bus import Bus
from events.clock import Clock
from events.offers import OfferBucket
from events.publish import PublishFailed
from saga.action import Action

log = structlog.get_logger(__name__)

_AGAIN_S = OFFER_TTL_S / 3
_FAREWELL_S = 1.0


class Announcing:
    """Says what a process offers for as long as the block lasts. What it offers is known when it has opened."""

    def __init__(self, bus: Bus, actions: Sequence[Action], clock: Clock) -> None:
        self._bucket = OfferBucket(bus)
        self._offer = Offer(
            instance=new_saga_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=clock(),
            actions=tuple(OfferedAction.of(action.contract) for action in actions),
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._say()
        self._task = asyncio.create_task(self._repeat(), name="offers")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        try:
            # Who leaves waits for nobody: the word ends by itself.
            async with asyncio.timeout(_FAREWELL_S):
                await self._bucket.withdraw(self._offer.instance)
        except (PublishFailed, TimeoutError) as error:
            log.info("offers.not_withdrawn", reason=repr(error))

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN_S)
            await self._say()

    async def _say(self) -> None:
        try:
            await self._bucket.put(self._offer)
        except PublishFailed as error:
            log.warning("offers.not_said", reason=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One action as it is offered now. `versions` counts replicas; `same_types` is false where replicas of one version
    differ in their input or output."""

    name: str
    offers: tuple[Offer, ...]
    actions: tuple[OfferedAction, ...]

    @property
    def replicas(self) -> int:
        return len(self.offers)

    @property
    def versions(self) -> Mapping[str, int]:
        return dict(sorted(Counter(action.version for action in self.actions).items()))

    @property
    def same_types(self) -> bool:
        return len({(one.version, one.schema_hash) for one in self.actions}) == len(self.versions)


def by_action(offers: Iterable[Offer]) -> dict[str, Offered]:
    """The offers of every action, by its name."""
    found: dict[str, list[tuple[Offer, OfferedAction]]] = defaultdict(list)
    for offer in offers:
        for action in offer.actions:
            found[action.name].append((offer, action))
    return {
        name: Offered(
            name=name, offers=tuple(one[0] for one in pairs), actions=tuple(one[1] for one in pairs)
        )
        for name, pairs in sorted(found.items())
    }
