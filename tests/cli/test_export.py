"""`saga export argo` and `saga step`, run as people and pods run them: as processes."""

import json
import os
from pathlib import Path

import yaml

from contracts.definition import SagaDefinition, Step
from events.bus import Bus
from tests.commands import saga

WORKFLOW = """
name: shout
steps:
  - {name: a, type: DATA_TRANSFORM, input: {data: {x: "${input.x}"}, operations: [{op: rename, fields: {x: y}}]}}
  - {name: b, type: VALIDATION, after: [a], input: {data: "${steps.a.result}", schema: {required: [y]}}}
"""


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    return await saga(*arguments, env={**os.environ, **environment})


async def test_a_workflow_in_a_file_is_exported_and_what_argo_cannot_is_said(tmp_path: Path) -> None:
    file = tmp_path / "shout.yaml"
    file.write_text(WORKFLOW)
    code, out, err = await run("export", "argo", str(file), "--image", "sagas:7")
    assert (code, "SAGA_DATABASE_URL" in err) == (0, True)
    manifest = yaml.safe_load(out)
    images = {one["container"]["image"] for one in manifest["spec"]["templates"] if "container" in one}
    assert images == {"sagas:7"}
    code, _, err = await run("export", "argo", "nothing")
    assert (code, "payment-standard@1" in err) == (3, True)


async def test_the_commands_of_the_pods_run_a_saga_to_its_end(bus: Bus, tmp_path: Path) -> None:
    definition = SagaDefinition(
        name="shout",
        steps=(
            Step(name="a", action="integrations.data_transform",
                 input={"data": {"x": "${input.x}"}, "operations": [{"op": "rename", "fields": {"x": "y"}}]}),
            Step(name="b", action="integrations.validation", after=("a",),
                 input={"data": "${steps.a.result}", "schema": {"required": ["y", "z"]}}),
        ),
    )  # fmt: skip
    told = {
        "NATS_URL": bus.settings.url,
        "SAGA_BUS_NAMESPACE": bus.settings.namespace,
        "SAGA_DATA": str(tmp_path),
        "SAGA_STEP_INPUT": '{"x": 1}',
        "SAGA_STEP_DEFINITIONS": json.dumps([definition.model_dump(mode="json")]),
    }
    codes = [
        (await run("step", *arguments, "--saga", "s-1", **told))[0]
        for arguments in (
            ("start", "shout@1"), ("do", "shout@1", "a"), ("do", "shout@1", "b"),
            ("turn-round", "--out", str(tmp_path / "out")), ("undo", "shout@1", "a"), ("end",),
        )
    ]  # fmt: skip
    assert codes == [0, 0, 8, 0, 0, 9]
    assert (tmp_path / "out").read_text() == "true"
    assert (await run("step", "do", "gone@1", "a", "--saga", "s-1", **told))[0] == 3
