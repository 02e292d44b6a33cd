"""A process that is kept alive, as a supervisor would."""

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.zygote import Child, Zygote

_RESTART_S = 0.05


@dataclass(slots=True)
class Service:
    """A process that shall live: whoever kills it gets it back. `once`: only its first start is told this."""

    name: str
    entry: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    out: Path
    once: dict[str, str] = field(default_factory=dict)
    first: Child | None = None
    child: Child | None = None
    wanted: bool = True
    born: asyncio.Event = field(default_factory=asyncio.Event)
    keeper: asyncio.Task[None] | None = None

    async def keep(self, zygote: Zygote) -> None:
        """Start it, and start it again whenever it has ended."""
        while self.wanted:
            told = self.environment if self.first else self.environment | self.once
            self.child = await zygote.spawn(self.entry, self.argv, told, self.out)
            self.first = self.first or self.child
            self.born.set()
            await self.child.ended.wait()
            await asyncio.sleep(_RESTART_S)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False if it does not live in this moment."""
        return self.child is not None and self.child.signal(number)

    async def end(self) -> None:
        self.wanted = False
        if self.keeper is not None:
            self.keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self.keeper
        if self.child is not None and self.child.signal(signal.SIGKILL):
            await self.child.ended.wait()
