"""How many dead letters are open, by code: counted once, and from then on only what is new."""

import asyncio
from collections import Counter

import structlog
from prometheus_client import Gauge

from events.bus import Bus
from events.deadletters import headers_of
from events.deadletters_codec import death_in, ruling_in
from events.read import ReadFailed, answered

log = structlog.get_logger(__name__)

OPEN = Gauge("saga_dead_letters_open", "Dead letters nobody has decided about", ["code"])


class Census:
    """The open letters of a bus. `refresh` brings the gauge up to date."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._codes: dict[int, str] = {}
        self._seen = 0
        self._counting = asyncio.Lock()

    @property
    def counted(self) -> Counter[str]:
        """Open letters by code, as they were counted last."""
        return Counter(self._codes.values())

    async def refresh(self) -> Counter[str]:
        """Open letters by code. While the bus is away, what was counted last."""
        async with self._counting:
            try:
                await self._count()
            except ReadFailed as error:
                log.warning("deadletters.not_counted", error=str(error))
        counted = self.counted
        OPEN.clear()
        for code, number in counted.items():
            OPEN.labels(code).set(number)
        return counted

    async def _count(self) -> None:
        async for sequence, headers, _ in headers_of(self._bus, "*.>", after=self._seen):
            if ruling := ruling_in(headers):
                self._codes.pop(ruling.letter, None)
            elif death := death_in(headers):
                self._codes[sequence] = death.code
            self._seen = sequence
        stream = self._bus.names.dead_letters
        with answered(stream):
            state = (await self._bus.jetstream.stream_info(stream)).state
        # What was too old has left the stream, oldest first.
        self._codes = {at: code for at, code in self._codes.items() if at >= state.first_seq}
