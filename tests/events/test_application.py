"""A service's life: opened, kept open, and closed in order whenever it is told to stop."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from events.application import make_app
from events.bus import Bus
from events.settings import BusSettings


async def test_a_service_that_is_stopped_while_it_starts_is_closed_in_order(
    bus_settings: BusSettings,
) -> None:
    said: list[str] = []
    opening, opened = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def running(bus: Bus) -> AsyncIterator[None]:
        opening.set()
        await opened.wait()
        said.append("open")
        yield
        said.append("closed while connected" if bus.connected else "closed too late")

    app = make_app((), bus_settings, "a service", running)
    life = asyncio.create_task(app.run(log_level=logging.DEBUG))
    await opening.wait()
    app.exit()
    asyncio.get_running_loop().call_later(0.3, opened.set)
    async with asyncio.timeout(10):
        await life
    assert said == ["open", "closed while connected"]
