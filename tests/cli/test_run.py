"""`saga run`, as a process: definitions and workflows from files, shipped ones, and what it answers when it cannot."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.docs.test_workflows_in_code import saga_alone

WORKFLOW = {
    "name": "double-all",
    "input_schema": {"type": "object", "required": ["numbers"], "properties": {"numbers": {"type": "array"}}},
    "steps": [
        {
            "name": "doubled",
            "type": "FOR_EACH",
            "items": "${input.numbers}",
            "do": {
                "steps": [
                    {
                        "name": "double",
                        "type": "DATA_TRANSFORM",
                        "input": {
                            "data": {"n": "${item}"},
                            "operations": [{"op": "calculate", "fields": {"n": "item.n * 2"}}],
                        },
                    }
                ],
                "output": "${steps.double.result}",
            },
        }
    ],
}


async def run(folder: Path, *arguments: str) -> tuple[int, Any, str]:
    code, out, err = await saga_alone(folder, "run", *arguments, "-o", "json")
    return code, json.loads(out) if out else None, err


async def test_a_workflow_with_children_runs_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "double.yaml").write_text(yaml.safe_dump(WORKFLOW))
    (tmp_path / "input.yaml").write_text("numbers: [1, 2, 3]")
    code, result, err = await run(tmp_path, "double.yaml", "--input", "input.yaml")
    assert code == 0, err
    results = result["steps"]["doubled"]["output"]["results"]
    assert results == [{"n": 2}, {"n": 4}, {"n": 6}]


async def test_what_is_no_definition_is_named_with_what_there_is(tmp_path: Path) -> None:
    code, _, err = await run(tmp_path, "unheard")
    assert (code, "payment-standard" in err) == (3, True)
    (tmp_path / "bad.json").write_text('{"name": "bad", "steps": [{"name": "a", "action": "payments.none"}]}')
    code, _, err = await run(tmp_path, "bad.json")
    assert (code, "/steps/0/action: no action 'payments.none'" in err) == (2, True)
    code, _, err = await run(tmp_path, "payment-standard", "--input", "nothing-there.yaml")
    assert code == 3, err
