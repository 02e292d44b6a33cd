"""`python -m benchmarks.replay --facts 1000000`: replaying one saga of a stream that holds so many facts.

What is measured is what the API does for `saga replay`: find and read the saga's facts, fold them one by one,
and explain what every participant decided.
"""

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path
from random import Random
from statistics import median

from benchmarks.filled import fill
from benchmarks.runtime import definition
from events.bus import Bus
from events.clock import monotonic
from events.definitions import Definitions
from events.embedded import EmbeddedServer, find_binary
from events.settings import BusSettings
from events.streams import declare
from saga.frames import frames_of
from saga.sources import from_stream
from saga.topology import consumers_for

_REPLAYS = 50


async def run(facts: int) -> dict[str, float]:
    """Median and longest duration of a replay in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        async with (
            EmbeddedServer(find_binary(os.environ), Path(folder) / "nats", sync_interval="2m") as server,
            await Bus.connect(BusSettings(url=server.url)) as bus,
        ):
            await declare(bus)
            async with Definitions.open(bus) as definitions:
                await definitions.publish(definition(), consumers_for)
                saga_ids = await fill(bus, definition(), facts)
                took_ms = [
                    await _replay(bus, definitions, saga_id)
                    for saga_id in Random(1).sample(saga_ids, _REPLAYS)
                ]
    return {
        "facts": facts,
        "replay_p50_ms": round(median(took_ms), 1),
        "replay_max_ms": round(max(took_ms), 1),
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
    print(json.dumps(asyncio.run(run(parser.parse_args().facts))))
