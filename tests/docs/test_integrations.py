"""The examples of the generic steps are run as they stand, their hosts being a server of the test."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from contracts.facts import FactKind
from contracts.ids import new_saga_id
from contracts.workflows import compile_workflow, parse_workflow
from saga.domains import domain_actions
from saga.state import SagaStatus
from tests.services.integrations.targets import open_target
from tests.services.steps import open_steps
from tests.world import Running

PAGE = (Path(__file__).parents[2] / "docs/domains/integrations.md").read_text()
EXAMPLES = [json.loads(text) for text in re.findall(r"<!-- example -->\n```json\n(.*?)```", PAGE, re.DOTALL)]
WORKFLOWS = [
    json.loads(text) for text in re.findall(r"<!-- workflow -->\n```json\n(.*?)```", PAGE, re.DOTALL)
]
ACTIONS = {action.name: action for action in domain_actions("integrations")}
INPUTS = {
    "orders": {"factor": 2, "orders": [{"id": "a", "price": 10}, {"id": "b", "price": 20}, {"id": "c"}]}
}
OUTPUTS = {
    "approval": {"signalled": True, "payload": {"approved": True}},
    "cool_down": {"signalled": False, "payload": None},
    "each": [{"order": "a", "total": 20}, {"order": "b", "total": 40}, None],
    "both": {"quick": 2, "slow": None},
}
"""Of the steps of the workflows: their outputs, or the results among them"""


def test_every_step_has_an_example() -> None:
    shown = {example["action"] for example in EXAMPLES}
    waiting = {"wait", "for_each", "parallel", "child_saga", "child_begin", "child_report"}
    assert shown | {f"integrations.{name}" for name in waiting} == ACTIONS.keys()


@pytest.mark.parametrize("document", WORKFLOWS, ids=lambda document: document["name"])
async def test_a_workflow_runs_as_it_is_written(document: dict[str, Any], running: Running) -> None:
    compiled = compile_workflow(parse_workflow(document), "1")
    for definition in (*compiled.children, compiled.definition):
        await running.publish(definition)
    async with running.serving(*ACTIONS.values()):
        saga_id = await running.start(compiled.definition, **INPUTS.get(document["name"], {}))
        if "approval" in compiled.definition.by_name:
            await running.client.signal(saga_id, "approval", {"approved": True}, by="test")
        state = await running.ended(compiled.definition, saga_id)
        assert state.status == SagaStatus.COMPLETED, state.abort
    for one in await running.facts(saga_id):
        if one.fact.subject in OUTPUTS and one.fact.kind == FactKind.COMPLETED:
            output = one.fact.data["output"]
            assert output.get("results", output) == OUTPUTS[one.fact.subject]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["action"])
async def test_an_example_gives_what_it_says(example: dict[str, Any], tmp_path: Path) -> None:
    async with open_target() as target, open_steps(tmp_path) as steps:
        target.answers = [JSONResponse({"quote": {"id": "Q7", "price": 40}})]
        steps.environment = {
            "SAGA_HTTP_ALLOW": target.place, "SAGA_SECRET_CARRIER_TOKEN": "a-token",
            "SAGA_SECRET_CUSTOMER_HOOK": "whsec_eA==",
        }  # fmt: skip
        told = re.sub(r"https://\w+\.example", target.url, json.dumps(example["input"]))
        action = ACTIONS[example["action"]]
        output = await steps.done(action, action.input.model_validate_json(told), new_saga_id())
        found = re.sub(r"msg_[0-9a-f]{32}", "msg_*", output.model_dump_json())
        assert json.loads(found) == example["output"]


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
def test_the_examples_of_a_schema_keep_to_it(action: Any) -> None:
    examples = action.input.model_json_schema()["examples"]
    assert examples
    for example in examples:
        action.input.model_validate(example)


def test_every_error_is_in_the_page() -> None:
    sources = (Path(__file__).parents[2] / "services/integrations").rglob("*.py")
    raised = {
        code
        for source in sources
        for code in re.findall(r'(?:Refused|Unavailable|EffectUnknown)\(\s*"([a-z_.]+)"', source.read_text())
    }
    assert len(raised) > 10
    assert {code for code in raised if f"`{code}`" not in PAGE} == set()
