"""The short form of the sweep, and the negative controls: the harness finds what is broken on purpose."""

from pathlib import Path

import pytest

from saga import failpoints
from tests.faults.controls import CONTROLS, Control, run_control
from tests.faults.ground import STEPS
from tests.faults.sweep import Case, crash_points, run_sweep, sleeping_points
from tests.faults.zygote import Zygote

pytestmark = pytest.mark.faults

SEED = 20261121
CRASHES = [
    Case("do.started.after", "check_liquidity"),
    Case("do.effect.outside", "execute_mmo"),
    Case("do.publish.before", "settle_payment"),
    Case("undo.effect.outside", "execute_mmo", "confirm_payment"),
    Case("undo.publish.before", "create_payment", "confirm_payment"),
]
SLEEPERS = [Case("do.effect.before", "lock_exchange_rate"), Case("do.effect.noted", "execute_mmo")]


async def test_dying_or_sleeping_at_a_point_breaks_no_invariant(zygote: Zygote, tmp_path: Path) -> None:
    verdict = await run_sweep(CRASHES, SLEEPERS, SEED, tmp_path, zygote)
    assert verdict.clean, (verdict.violations, verdict.differences)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
async def test_the_harness_finds_what_is_broken(control: Control, zygote: Zygote, tmp_path: Path) -> None:
    verdict = await run_control(control, SEED, tmp_path, zygote)
    assert not verdict.clean


def test_the_sweep_comes_by_every_point_and_every_step() -> None:
    swept = set(crash_points())
    assert {case.point for case in swept} == failpoints.POINTS
    assert {case.step for case in swept} == set(STEPS)
    assert set(CRASHES) <= swept
    assert set(SLEEPERS) <= set(sleeping_points())
