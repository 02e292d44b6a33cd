"""The short form of the cluster's faults. They take minutes, so they are asked for: `make cluster`."""

import os
from pathlib import Path

import pytest

from tests.faults.cluster import NoNetwork
from tests.faults.nemeses import FAULTS, Fault
from tests.faults.runs import run_fault
from tests.faults.zygote import Zygote

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not os.environ.get("SAGA_TEST_CLUSTER"), reason="takes minutes: make cluster"),
]

SEED = 20261121


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.cluster], ids=lambda fault: fault.name)
async def test_no_invariant_breaks_on_a_cluster(fault: Fault, zygote: Zygote, tmp_path: Path) -> None:
    try:
        verdict = await run_fault(fault, 60, SEED, tmp_path, zygote)
    except NoNetwork as error:
        pytest.skip(f"this machine cannot be partitioned: {error}")
    assert verdict.clean, (verdict.violations, verdict.differences)
