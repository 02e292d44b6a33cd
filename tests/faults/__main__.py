"""`make faults`: every fault on the real thing, a table, and one JSON object on the last line.

Exit code 0 if every invariant held under every fault, every fault struck, and the harness found what is broken
in the systems that are broken on purpose; 1 otherwise.
"""

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import SystemRandom

import structlog

from events.clock import monotonic
from tests.faults.cluster import NoNetwork
from tests.faults.controls import CONTROLS, Overlooked, run_control
from tests.faults.nemeses import FAULTS
from tests.faults.report import HEAD, explained, line, summary
from tests.faults.runs import NotProved, run_fault
from tests.faults.sweep import crash_points, run_sweep, sleeping_points
from tests.faults.verdict import Verdict
from tests.faults.zygote import Zygote

type Play = Callable[[Path, Zygote], Awaitable[Verdict]]


def plays(sagas: int, seed: int) -> dict[str, Play]:
    """What is played for the totals, by name."""
    found: dict[str, Play] = {fault.name: partial(run_fault, fault, sagas, seed) for fault in FAULTS}
    found["crash points"] = partial(run_sweep, list(crash_points()), list(sleeping_points()), seed)
    return found


def broken_plays(seed: int) -> dict[str, Play]:
    """The negative controls, by name."""
    return {control.name: partial(run_control, control, seed) for control in CONTROLS}


async def play(wanted: dict[str, Play], broken: dict[str, Play]) -> tuple[list[Verdict], bool]:
    """The verdicts for the totals, and whether everything is as it must be."""
    verdicts: list[Verdict] = []
    well = True
    async with Zygote() as zygote:
        for name, one in (wanted | broken).items():
            begun = monotonic()
            folder = Path(tempfile.mkdtemp(prefix="saga-faults-"))
            try:
                verdict = await one(folder, zygote)
            except NoNetwork as error:
                print(f"{name:<22} skipped: {error}", flush=True)
                continue
            except (NotProved, Overlooked) as error:
                print(f"{name:<22} NOT PROVED: {error}; everything is kept in {folder}", flush=True)
                well = False
                continue
            print(line(name, verdict, monotonic() - begun), flush=True)
            if name in wanted:
                verdicts.append(verdict)
                well = well and verdict.clean
                if not verdict.clean:
                    print(f"{explained(verdict)}\n    everything is kept in {folder}", flush=True)
                    continue
            await asyncio.to_thread(shutil.rmtree, folder, True)
    return verdicts, well


def main() -> int:
    """Parse the arguments and play."""
    parser = ArgumentParser(
        prog="faults", description="Break a running system, and count what it gets wrong."
    )
    parser.add_argument("--sagas", type=int, default=2000, help="per fault")
    parser.add_argument("--fault", default="", help="only this one")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    given = parser.parse_args()
    wanted, broken = plays(given.sagas, given.seed), broken_plays(given.seed)
    if given.fault:
        known = ", ".join((*wanted, *broken))
        wanted = {name: one for name, one in wanted.items() if name == given.fault}
        broken = {name: one for name, one in broken.items() if name == given.fault}
        if not wanted and not broken:
            parser.error(f"no fault {given.fault!r}: there are {known}")
    # The driver's own connection complains of every fault; what counts is the verdict.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {given.seed}\n{HEAD}", flush=True)
    verdicts, well = asyncio.run(play(wanted, broken))
    print(json.dumps(summary(verdicts)))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
