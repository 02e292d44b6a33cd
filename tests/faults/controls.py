"""Negative controls: a broken system, on which the same harness must find what is broken.

A harness that finds nothing proves nothing, until it is seen to find something. Both breakages are put in by
the entry points of `entries`, never by a setting.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.faults.sweep import Case, run_sweep
from tests.faults.verdict import Verdict
from tests.faults.zygote import Zygote


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A breakage, where the process dies, and the number of the verdict that must not be 0."""

    name: str
    entry: str
    cases: tuple[Case, ...]
    finds: str


CONTROLS = (
    Control(
        name="without the guard",
        entry="tests.faults.entries:without_guard",
        cases=(Case("do.effect.after", "check_liquidity"), Case("do.publish.before", "settle_payment")),
        finds="double_effects",
    ),
    Control(
        name="acknowledged first",
        entry="tests.faults.entries:ack_first",
        cases=(Case("do.effect.before", "validate_payment"), Case("do.publish.before", "lock_exchange_rate")),
        finds="stuck",
    ),
)  # fmt: skip


class Overlooked(AssertionError):
    """The harness has found nothing on a broken system."""


async def run_control(control: Control, seed: int, folder: Path, zygote: Zygote) -> Verdict:
    """The verdict on a broken system. Raises Overlooked if it is clean of what the breakage must cause."""
    verdict = await run_sweep(list(control.cases), [], seed, folder, zygote, entry=control.entry, quiet_s=8.0)
    if not getattr(verdict, control.finds):
        raise Overlooked(f"{control.name}: no {control.finds} found, although there must be some")
    return verdict
