"""`make bench`: the full runtime against the same chain written by hand, on the same server settings, in one run.

Each side gets a fresh server and a process of its own. The runtime's saga log runs beside it, as deployed:
`saga serve log`, on the same two cores. Memory is that of everything in one process, the log included,
after it has applied everything.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import structlog
import uvloop

from benchmarks import runtime
from benchmarks.baseline import Baseline
from benchmarks.chain import Arrivals, Measured, Start, load
from events.embedded import EmbeddedServer, find_binary

_ROUNDS = 3
_WARM_UP = 100


async def measure(side: str, sync: str, sagas: int) -> dict[str, float]:
    """Run one side alone: throughput at 200 in flight, median latency at 1."""
    arrivals = Arrivals()
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        async with EmbeddedServer(
            find_binary(os.environ), Path(folder) / "nats", sync_interval=sync
        ) as server:
            if side == "hand":
                async with await Baseline.connect(server.url, arrivals.ended) as baseline:
                    alone, many = await _loads(baseline.start, arrivals, sagas)
            else:
                async with runtime.running(
                    server.url, Path(folder), arrivals.ended, log_inside=False
                ) as system:
                    alone, many = await _loads(system.start, arrivals, sagas)
    return {"p50_ms": alone.p50_ms, "sagas_per_s": many.sagas_per_s}


async def _loads(start: Start, arrivals: Arrivals, sagas: int) -> tuple[Measured, Measured]:
    await load(start, arrivals, sagas=_WARM_UP, in_flight=50)
    alone = await load(start, arrivals, sagas=_WARM_UP, in_flight=1)
    return alone, await load(start, arrivals, sagas=sagas, in_flight=200)


async def memory(sagas: int) -> dict[str, float]:
    """Resident memory of the all-in-one process after half and all of the sagas, in MB."""
    arrivals = Arrivals()
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        async with (
            EmbeddedServer(find_binary(os.environ), Path(folder) / "nats", sync_interval="2m") as server,
            runtime.running(server.url, Path(folder), arrivals.ended, log_inside=True) as system,
        ):
            found = []
            for _ in range(2):
                await load(system.start, arrivals, sagas=sagas // 2, in_flight=200, settled=system.caught_up)
                gc.collect()
                found.append(_resident_mb())
    return {"half_mb": found[0], "all_mb": found[1]}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _alone(*arguments: str) -> dict[str, float]:
    """One measurement in a process of its own, so that no side inherits the other's memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, check=True
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compare(sagas: int, rounds: int) -> dict[str, float]:
    """Both sides in turn, several rounds; the median of the rounds' ratios."""
    result: dict[str, float] = {}
    for label, sync, share in (("2m", "2m", 1.0), ("always", "always", 0.3)):
        count = str(int(sagas * share))
        pairs = [
            tuple(_alone("--side", side, "--sync", sync, "--sagas", count) for side in ("hand", "runtime"))
            for _ in range(rounds)
        ]
        for hand, ours in pairs:
            print(
                f"sync {label:6}  1 in flight: {hand['p50_ms']:6.2f} ms by hand, {ours['p50_ms']:6.2f} ms runtime"
                f"   200 in flight: {hand['sagas_per_s']:6.0f}/s by hand, {ours['sagas_per_s']:6.0f}/s runtime",
                flush=True,
            )
        result[f"throughput_ratio_{label}"] = median(o["sagas_per_s"] / h["sagas_per_s"] for h, o in pairs)
        result[f"latency_ratio_{label}"] = median(o["p50_ms"] / h["p50_ms"] for h, o in pairs)
        result[f"sagas_per_s_{label}"] = median(o["sagas_per_s"] for _, o in pairs)
    return result


def main() -> None:
    """The whole comparison, or one measurement of it."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--side", choices=("hand", "runtime", "memory"))
    parser.add_argument("--sync", default="2m")
    parser.add_argument("--sagas", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    wanted = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if wanted.side == "memory":
        print(json.dumps(_run(memory(wanted.sagas))))
    elif wanted.side:
        print(json.dumps(_run(measure(wanted.side, wanted.sync, wanted.sagas))))
    else:
        result = compare(wanted.sagas, wanted.rounds)
        held = _alone("--side", "memory", "--sagas", "10000")
        print(f"memory: {held['half_mb']:.0f} MB after 5,000 sagas, {held['all_mb']:.0f} MB after 10,000")
        result["rss_mb_after_10k"] = held["all_mb"]
        print(json.dumps({name: round(value, 3) for name, value in result.items()}))


def _run(measurement: object) -> object:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measurement)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
