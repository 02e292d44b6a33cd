"""A process that is killed when its events are stored and not yet noted: database url, bus url, namespace."""

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
from tests.events.outboxes import CrashingBus, add, make_outbox


class Killed(CrashingBus):
    async def batch(self, messages: Any) -> Any:
        await super().batch(messages)
        os.kill(os.getpid(), signal.SIGKILL)


async def main(database_url: str, url: str, namespace: str) -> None:
    database = Database(make_engine(database_url))
    async with await Bus.connect(BusSettings(url=url, namespace=namespace)) as bus:
        outbox = await make_outbox(database, bus)
        await add(outbox, database, 1, 2)
        await Relay(Killed(bus), outbox, RelaySettings(lease_s=0.5)).drain()  # type: ignore[arg-type]


asyncio.run(main(*sys.argv[1:]))
