"""A process that is killed at a point of its way: database url, bus url, namespace, point.

Points: `written` (not committed), `committed` (not published), `published` (not noted).
"""

import asyncio
import os
import signal
import sys
from typing import Any

sys.path.insert(0, os.getcwd())

from events.bus import Bus
from events.database import Database, make_engine
from events.outbox_relay import Relay, RelaySettings
from events.settings import BusSettings
from tests.events.outboxes import CrashingBus, add, counted, make_outbox


class Killed(CrashingBus):
    async def batch(self, messages: Any) -> Any:
        await super().batch(messages)
        die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(database_url: str, url: str, namespace: str, point: str) -> None:
    database = Database(make_engine(database_url))
    async with await Bus.connect(BusSettings(url=url, namespace=namespace)) as bus:
        outbox = await make_outbox(database, bus)
        await add(outbox, database, 1)
        async with database.transaction() as session:
            await outbox.add_event(session, counted(2))
            if point == "written":
                die()
        if point == "committed":
            die()
        await Relay(Killed(bus), outbox, RelaySettings(lease_s=0.5)).drain()  # type: ignore[arg-type]


asyncio.run(main(*sys.argv[1:]))
