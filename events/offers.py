"""Offers on the bus: one key per process in a bucket whose entries end by themselves unless they are repeated."""

import structlog

from contracts.failure import InvalidContract
from contracts.offers import Offer
from events.bus import Bus
from events.read import last_of

log = structlog.get_logger(__name__)

# How the server marks a key that is no longer there.
_OPERATION = "KV-Operation"


class OfferBucket:
    """Who offers what, as the server has it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._root = f"$KV.{bus.names.offers}"

    async def put(self, offer: Offer) -> None:
        """Say it, or say it again. Raises PublishFailed."""
        payload = offer.model_dump_json().encode()
        await self._bus.publisher.send(f"{self._root}.{offer.instance}", payload, {})

    async def withdraw(self, instance: str) -> None:
        """End the word of a process. Raises PublishFailed."""
        await self._bus.publisher.send(f"{self._root}.{instance}", b"", {_OPERATION: "DEL"})

    async def read(self) -> list[Offer]:
        """All that stand now, the oldest process first. Raises ReadFailed."""
        found = []
        for message in await last_of(self._bus, f"KV_{self._bus.names.offers}", [f"{self._root}.>"]):
            if _OPERATION in (message.headers or {}):
                continue
            try:
                found.append(Offer.decode(message.payload))
            except InvalidContract as error:
                log.warning("offers.unreadable", subject=message.subject, reason=str(error))
        return sorted(found, key=lambda offer: offer.since)
