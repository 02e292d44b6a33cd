"""The audit trail on the bus: a stream that refuses deletes and purges, a subject per chain.

A block is stored only right after the one it follows: of two writers one is told to look again.
"""

from contracts.trail import TrailBlock
from events.bus import Bus
from events.names import MSG_ID
from events.publish import Fence
from events.read import last_of, watch_stream


class Trail:
    """Reads and appends blocks."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def head(self, chain: str) -> tuple[TrailBlock | None, int]:
        """The newest block of a chain and its place in the stream; None and 0 if there is none. Raises ReadFailed."""
        found = await last_of(self._bus, self._bus.names.trail, [self._subject(chain)])
        return (TrailBlock.decode(found[-1].payload), found[-1].sequence) if found else (None, 0)

    async def append(self, block: TrailBlock, after: int) -> int:
        """Store a block after the place of the one before; its own place.

        Raises Fenced if another came first, PublishFailed.
        """
        subject = self._subject(block.chain)
        headers = {MSG_ID: block.hash, **Fence(subject, after).headers()}
        return (await self._bus.publisher.send(subject, block.model_dump_json().encode(), headers)).sequence

    async def read(self) -> list[tuple[int, bytes]]:
        """Every block as it is stored, with its place in the stream."""
        found: list[tuple[int, bytes]] = []
        async for batch in watch_stream(self._bus, self._bus.names.trail, [self._subject("*")]):
            if not batch:
                break
            found += [(message.sequence, message.payload) for message in batch]
        return found

    def _subject(self, chain: str) -> str:
        return f"{self._bus.names.trail_root}.{chain}"
