"""The guide to actions: what it declares is in the registry, and its commands are those there are."""

import sys

import pytest

from saga import registry
from tests.docs.test_docs import ROOT, blocks
from tests.docs.test_workflows_in_code import saga_alone

GUIDE = ROOT / "docs/guides/actions.md"


def test_the_action_of_the_guide_is_found_with_all_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("mail_guide")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(blocks(GUIDE, "python")[0], GUIDE.name, "exec"), module.__dict__)
    (found,) = registry.search("search mailbox newest")
    assert (found.name, found.version, found.permissions) == ("mail.search", "2", ("mail:read",))
    assert found.input.model_validate(found.examples[0])


async def test_its_commands_answer() -> None:
    commands = [line.split("#")[0] for line in blocks(GUIDE, "sh")[0].splitlines() if "--module" not in line]
    for command in commands:
        words = [word.strip('"') for word in command.replace('"exchange rate"', "exchange").split()]
        code, out, err = await saga_alone(ROOT, *words[1:])
        assert code == 0, err
        assert "payments.lock" in out or "lock_exchange" in out
