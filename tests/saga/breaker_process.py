"""A process of its own with the breaker `op.x`: bus url, namespace, and `fail` (twice) or `die` (as a probe)."""

import asyncio
import os
import signal
import sys

sys.path.insert(0, os.getcwd())

from contracts.breakers import BreakerConfig
from events.bus import Bus
from events.settings import BusSettings
from saga.action import Unavailable
from saga.breaker import Breaker, BreakerOpen, shared_breakers
from saga.execution import counts_against

CONFIG = BreakerConfig(failure_threshold=6, reset_timeout_s=0.2, probe_lease_s=1.5)


async def fail_twice(breaker: Breaker) -> None:
    for _ in range(2):
        try:
            async with breaker:
                raise Unavailable("t.down", "down")
        except Unavailable:
            continue


async def when_let_in(breaker: Breaker) -> None:
    """Enter as soon as it may, asking again as a deferred delivery does."""
    while True:
        try:
            await breaker.__aenter__()
        except BreakerOpen as error:
            await asyncio.sleep(error.retry_after_s)
        else:
            return


async def main(url: str, namespace: str, what: str) -> None:
    async with (
        await Bus.connect(BusSettings(url=url, namespace=namespace)) as bus,
        shared_breakers(bus, CONFIG, fails=counts_against) as breakers,
    ):
        breaker = breakers.get("op.x")
        if what == "fail":
            await fail_twice(breaker)
        else:
            await when_let_in(breaker)
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
