"""The guide to policies: its action is explained as it says, and its file is one."""

import json
import re
from pathlib import Path

import yaml

from contracts.policies import Policies
from contracts.retries import ExponentialRetry
from tests.docs.test_docs import ROOT, blocks
from tests.docs.test_workflows_in_code import saga_alone

GUIDE = ROOT / "docs/guides/policies.md"


async def test_the_command_explains_what_the_guide_says(tmp_path: Path) -> None:
    (tmp_path / "letters.py").write_text(blocks(GUIDE, "python")[0])
    command, *rows = blocks(GUIDE, "text")[0].strip().splitlines()
    words = command.split()[2:]
    code, out, err = await saga_alone(tmp_path, *words, "-o", "json")
    assert code == 0, err
    told = {(one["name"], one["level"], one["source"]): one["value"] for one in json.loads(out)}
    for row in rows:
        name, value, level, source = re.split(r"\s{2,}", row.strip())
        assert value.split(",")[0] in json.dumps(told[name, level, source]), row
    assert ("rate", "action", "post.send_letter") in told


async def test_a_step_and_the_operators_file_are_explained(tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text(blocks(GUIDE, "yaml")[0])
    explain = ["policy", "explain", "execute_mmo", "-o", "json"]
    step = ["--def", "payment-standard", "--step", "execute_mmo", "--file", "policies.yaml"]
    code, out, err = await saga_alone(tmp_path, *explain, *step)
    assert code == 0, err
    told = {one["name"]: (one["value"], one["level"], one["source"]) for one in json.loads(out)}
    assert told["timeout_s"] == (30.0, "step", "step execute_mmo")
    assert told["concurrency"] == (20, "action", "operator's file")
    code, _, err = await saga_alone(tmp_path, *explain, "--step", "execute_mmo")
    assert (code, "give --def and --step" in err) == (2, True)


def test_the_file_of_the_guide_is_one() -> None:
    policies = Policies.parse(yaml.safe_load(blocks(GUIDE, "yaml")[0]))
    assert policies.actions["payments.execute_mmo"].retry == ExponentialRetry(max_attempts=8)
