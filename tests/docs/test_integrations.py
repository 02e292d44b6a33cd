"""The examples of the generic steps are run as they stand, their hosts being a server of the test."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from contracts.ids import new_saga_id
from saga.domains import domain_actions
from tests.services.integrations.targets import open_target
from tests.services.steps import open_steps

PAGE = (Path(__file__).parents[2] / "docs/domains/integrations.md").read_text()
EXAMPLES = [json.loads(text) for text in re.findall(r"<!-- example -->\n```json\n(.*?)```", PAGE, re.DOTALL)]
ACTIONS = {action.name: action for action in domain_actions("integrations")}


def test_every_step_has_an_example() -> None:
    assert sorted(example["action"] for example in EXAMPLES) == sorted(ACTIONS)


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
