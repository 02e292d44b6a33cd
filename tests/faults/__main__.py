"""`make faults`: every fault on the real thing, a table, and one JSON object on the last line.

Exit code 0 if every invariant held under every fault, and every fault struck; 1 otherwise.
"""

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from random import SystemRandom

import structlog

from events.clock import monotonic
from tests.faults.cluster import NoNetwork
from tests.faults.nemeses import FAULTS, Fault
from tests.faults.runs import NotProved, run_fault
from tests.faults.verdict import Verdict
from tests.faults.zygote import Zygote

_SHOWN = 12


async def play(faults: list[Fault], sagas: int, seed: int) -> dict[str, Verdict | NotProved]:
    """The verdict on every fault; a run that proves nothing gives its reason."""
    found: dict[str, Verdict | NotProved] = {}
    async with Zygote() as zygote:
        for fault in faults:
            begun = monotonic()
            folder = Path(tempfile.mkdtemp(prefix="saga-faults-"))
            try:
                verdict = await run_fault(fault, sagas, seed, folder, zygote)
            except NoNetwork as error:
                print(f"{fault.name:<22} skipped: {error}", flush=True)
                continue
            except NotProved as error:
                found[fault.name] = error
                print(f"{fault.name:<22} NOT PROVED: {error}", flush=True)
                continue
            found[fault.name] = verdict
            print(_line(fault.name, verdict, monotonic() - begun), flush=True)
            if verdict.clean:
                await asyncio.to_thread(shutil.rmtree, folder, True)
            else:
                _explain(verdict, folder)
    return found


def _line(name: str, verdict: Verdict, took_s: float) -> str:
    struck = ", ".join(f"{count} {what}" for what, count in verdict.struck.items()) or "-"
    numbers = (
        verdict.sagas, verdict.completed, verdict.compensated, verdict.lost, verdict.stuck,
        verdict.double_effects, verdict.order_violations, verdict.log_mismatches,
    )  # fmt: skip
    balanced = "yes" if verdict.books_balanced else "NO"
    return (
        f"{name:<22}"
        + "".join(f"{number:>7}" for number in numbers)
        + f"{balanced:>7}{took_s:>7.0f}  {struck}"
    )


def _head() -> str:
    names = ("sagas", "compl.", "undone", "lost", "stuck", "double", "order", "log<>", "books", "s")
    return f"{'fault':<22}" + "".join(f"{name:>7}" for name in names) + "  struck"


def _explain(verdict: Verdict, folder: Path) -> None:
    for violation in verdict.violations[:_SHOWN]:
        print(f"    saga {violation.saga_id}: {violation.breach}")
    for difference in verdict.differences[:_SHOWN]:
        print(f"    {difference}")
    print(f"    everything is kept in {folder}")


def summary(found: dict[str, Verdict | NotProved]) -> dict[str, object]:
    """The totals."""
    verdicts = [verdict for verdict in found.values() if isinstance(verdict, Verdict)]
    return {
        "faults": len(verdicts),
        "sagas": sum(verdict.sagas for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "stuck": sum(verdict.stuck for verdict in verdicts),
        "double_effects": sum(verdict.double_effects for verdict in verdicts),
        "order_violations": sum(verdict.order_violations for verdict in verdicts),
        "log_mismatches": sum(verdict.log_mismatches for verdict in verdicts),
        "books_balanced": all(verdict.books_balanced for verdict in verdicts),
    }


def main() -> int:
    """Parse the arguments and play."""
    parser = ArgumentParser(
        prog="faults", description="Break a running system, and count what it gets wrong."
    )
    parser.add_argument("--sagas", type=int, default=2000, help="per fault")
    parser.add_argument("--fault", default="", help=f"one of: {', '.join(fault.name for fault in FAULTS)}")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    given = parser.parse_args()
    faults = [fault for fault in FAULTS if given.fault in ("", fault.name)]
    if not faults:
        parser.error(f"no fault {given.fault!r}: there are {', '.join(fault.name for fault in FAULTS)}")
    # The driver's own connection complains of every fault; what counts is the verdict.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {given.seed}\n{_head()}", flush=True)
    found = asyncio.run(play(faults, given.sagas, given.seed))
    print(json.dumps(summary(found)))
    return 0 if all(isinstance(one, Verdict) and one.clean for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
