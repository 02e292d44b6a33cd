"""The short form of `make faults`: some faults, few sagas, the same invariants."""

from pathlib import Path

import pytest

from tests.faults.nemeses import FAULTS
from tests.faults.runs import NotProved, require_proof, run_fault
from tests.faults.verdict import Verdict
from tests.faults.zygote import Zygote

pytestmark = pytest.mark.faults

BY_NAME = {fault.name: fault for fault in FAULTS}
SEED = 20261121


@pytest.mark.parametrize("name", ["nats-server killed", "duplicates"])
async def test_no_invariant_breaks_under_a_fault(name: str, zygote: Zygote, tmp_path: Path) -> None:
    verdict = await run_fault(BY_NAME[name], 30, SEED, tmp_path, zygote)
    assert verdict.clean, (verdict.violations, verdict.differences)


def verdict(**changes: int | dict[str, int]) -> Verdict:
    clean = {
        "sagas": 10, "completed": 8, "compensated": 2, "facts": 100, "lost": 0, "stuck": 0, "double_effects": 0,
        "order_violations": 0, "log_mismatches": 0, "books_balanced": True, "struck": {"kills": 3},
    }  # fmt: skip
    return Verdict(**clean | changes)  # type: ignore[arg-type]


def test_a_run_in_which_the_fault_did_not_strike_proves_nothing() -> None:
    killing = BY_NAME["participants killed"]
    require_proof(killing, verdict())
    with pytest.raises(NotProved, match="did not strike"):
        require_proof(killing, verdict(struck={}))


def test_a_run_in_which_too_few_sagas_complete_proves_nothing() -> None:
    with pytest.raises(NotProved, match="only 4 of 10"):
        require_proof(BY_NAME["participants killed"], verdict(completed=4))
