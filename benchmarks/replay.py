"""`python -m benchmarks.replay --facts 1000000`: a stream of so many facts, read back.

Replaying one of its sagas is what the API does for `saga replay`: find and read the saga's facts, fold them one
by one, explain what every participant decided. Rebuilding is `saga log rebuild` on SQLite, then its comparison.
"""

import argparse
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import process_time

import structlog
import uvloop

from benchmarks.filled import fill
from benchmarks.runtime import definition
from events.bus import Bus
from events.clock import monotonic
from events.definitions import Definitions
from events.embedded import EmbeddedServer, find_binary
from events.settings import BusSettings
from events.streams import declare
from saga.frames import frames_of
from saga.log.compare import compare
from saga.log.rebuild import rebuild
from saga.log.store import open_log
from saga.sources import from_stream
from saga.topology import consumers_for

_REPLAYS = 50


async def run(facts: int) -> dict[str, float]:
    """Durations of replays in milliseconds, then what a rebuild and a comparison of all rows take."""
    async with _filled(facts) as (bus, definitions, saga_ids, folder):
        sample = Random(1).sample(saga_ids, _REPLAYS)
        took_ms = [await _replay(bus, definitions, saga_id) for saga_id in sample]
        rebuilt = await _rebuild(bus, definitions, folder)
    return {
        "facts": facts,
        "replay_p50_ms": round(median(took_ms), 1),
        "replay_max_ms": round(max(took_ms), 1),
        **rebuilt,
    }


@asynccontextmanager
async def _filled(facts: int) -> AsyncIterator[tuple[Bus, Definitions, list[str], Path]]:
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as name:
        folder = Path(name)
        async with (
            EmbeddedServer(find_binary(os.environ), folder / "nats", sync_interval="2m") as server,
            await Bus.connect(BusSettings(url=server.url, publish_timeout_s=60)) as bus,
        ):
            await declare(bus)
            async with Definitions.open(bus) as definitions:
                await definitions.publish(definition(), consumers_for)
                yield bus, definitions, await fill(bus, definition(), facts), folder


async def _rebuild(bus: Bus, definitions: Definitions, folder: Path) -> dict[str, float]:
    """A rebuild by the clock and by the processor, and a comparison of the log with itself, every row."""
    async with open_log(f"sqlite+aiosqlite:///{folder / 'log.db'}") as log:
        begun, begun_cpu = monotonic(), process_time()
        facts = await rebuild(bus, definitions, log, old=None, tell=lambda done, total: None)
        rebuilt, rebuilt_cpu = monotonic(), process_time()
        found = await compare(log, log)
        assert not found.different
        return {
            "rebuilt_facts_per_s": round(facts / (rebuilt - begun)),
            "rebuilt_facts_per_cpu_s": round(facts / (rebuilt_cpu - begun_cpu)),
            "compared_rows_per_s": round(found.rows / (monotonic() - rebuilt)),
        }


async def _replay(bus: Bus, definitions: Definitions, saga_id: str) -> float:
    begun = monotonic()
    played = await from_stream(bus, definitions, saga_id)
    frames = frames_of(played.definition, played.facts)
    took_ms = (monotonic() - begun) * 1000
    assert frames[-1].status == "completed"
    return took_ms


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=1_000_000)
    wanted = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(json.dumps(uvloop.run(run(wanted.facts))))
