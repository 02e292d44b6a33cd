"""The short form of `make faults`: some faults, few sagas, the same invariants."""

from pathlib import Path

import pytest

from tests.faults.nemeses import FAULTS
from tests.faults.runs import run_fault
from tests.faults.zygote import Zygote

pytestmark = pytest.mark.faults

BY_NAME = {fault.name: fault for fault in FAULTS}
SEED = 20261121


@pytest.mark.parametrize("name", ["nats-server killed", "duplicates"])
async def test_no_invariant_breaks_while(name: str, zygote: Zygote, tmp_path: Path) -> None:
    verdict = await run_fault(BY_NAME[name], 60, SEED, tmp_path, zygote)
    assert verdict.clean, (verdict.violations, verdict.differences)
