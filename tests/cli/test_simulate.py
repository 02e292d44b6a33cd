"""`saga simulate`: as people run it."""

import json
from pathlib import Path

import pytest

from tests.commands import saga

SHIPPED = (
    "payment-standard@1", "payment-fast-track@1", "payment-high-value@1", "payment-compliance-heavy@1",
    "payment-liquidity-optimized@1",
)  # fmt: skip

# `make simulate` explores them to the end, too.
LARGE = ("casefile-gather@1", "chargeback@1")
BUDGET = 10_000


async def run(*arguments: str) -> tuple[int, str, str]:
    return await saga("simulate", *arguments)


async def test_everything_that_is_shipped_is_explored() -> None:
    code, out, err = await run("--all", "--json", "--max-states", str(BUDGET))
    found = {report["definition"]: report for report in map(json.loads, out.splitlines())}
    assert code == 0
    assert found.keys() > set(SHIPPED)
    assert not any(report["violations"] for report in found.values())
    assert all(
        report["complete"] and report["states"] > 10 for ref, report in found.items() if ref not in LARGE
    )
    assert [found[ref]["states"] >= BUDGET for ref in LARGE] == [True, True]
    assert err.startswith("2 not explored to the end")


async def test_a_file_is_explored_and_a_spent_budget_is_told(tmp_path: Path) -> None:
    steps = [{"name": name, "action": f"own.{name}"} for name in "abc"]
    (tmp_path / "mine.json").write_text(json.dumps({"name": "mine", "steps": steps}))
    code, out, err = await run(str(tmp_path / "mine.json"), "--max-states", "50")
    assert code == 0
    assert "mine@1" in out
    assert "bounded: not all of them" in out
    assert "not explored to the end" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nobody"], 3, "payment-standard@1"),
        ([], 2, "give one definition, or --all"),
        (["nowhere.json"], 3, "nowhere.json"),
    ],
)
async def test_what_cannot_be_explored_is_told_in_one_line(
    arguments: list[str], code: int, told: str
) -> None:
    exit_code, out, err = await run(*arguments)
    assert (exit_code, out, len(err.splitlines()), told in err) == (code, "", 1, True)


async def test_a_definition_that_is_none_has_pointers(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nsteps: [{name: a, action: own.a, after: [nobody]}]\n")
    code, _, err = await run(str(tmp_path / "bad.yaml"))
    assert (code, "/steps/0/after: no step 'nobody'" in err) == (2, True)
