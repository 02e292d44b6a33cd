"""The guide to workflows in code: its script is run as a newcomer would run it, and so is its command."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from events.settings import BusSettings
from saga import SagaDefinition
from saga.action import Action
from tests.commands import saga
from tests.docs.test_docs import ROOT, blocks
from tests.world import Running

GUIDE = ROOT / "docs/guides/workflows-in-code.md"


async def ran(folder: Path, *command: str, **told: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**environment, "PYTHONPATH": str(ROOT), **told},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def saga_alone(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """A command in a folder, without a bus."""
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    return await saga(*arguments, env=environment, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(blocks(GUIDE, "python")[0])
    return tmp_path


async def test_the_script_prints_what_the_guide_says(folder: Path) -> None:
    code, out, err = await ran(folder, sys.executable, "orders.py")
    assert (code, err) == (0, "")
    assert out == blocks(GUIDE, "text")[0]


async def test_the_command_runs_the_same_workflow(folder: Path) -> None:
    command = blocks(GUIDE, "sh")[0].strip().split(" ", 4)
    assert command[:2] == ["saga", "run"]
    given = command[4].strip("'")
    run = ["run", "orders:WORKFLOW"]
    code, out, err = await saga_alone(folder, *run, "--input", given)
    assert code == 0, err
    assert "ship completed" in err
    assert "success" in out
    code, out, _ = await saga_alone(folder, *run, "--input", '{"item": "tea", "express": true}', "-o", "json")
    assert code == 9
    assert '"status": "compensated"' in out
    code, _, err = await saga_alone(folder, *run, "--input", "{}")
    assert code == 2
    assert '"item" is a required property' in err


async def test_the_workflow_is_followed_on_a_bus(
    running: Running, folder: Path, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", bus_settings.url)
    monkeypatch.setenv("SAGA_BUS_NAMESPACE", bus_settings.namespace)
    module = type(sys)("orders_guide")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(GUIDE, "python"):
        exec(compile(block, GUIDE.name, "exec"), module.__dict__)
    from saga.registry import implementation

    reserve, workflow = module.__dict__["reserve"], module.__dict__["WORKFLOW"]
    assert isinstance(reserve, Action)
    assert isinstance(workflow, SagaDefinition)
    async with running.serving(reserve, implementation("shop.ship")):
        assert await module.__dict__["follow"](workflow) == "success"


async def test_the_public_names_are_all_there_and_cost_nothing_until_they_are_used() -> None:
    probe = (
        "import sys, saga; heavy = {'pydantic', 'nats', 'fastapi', 'sqlmodel'} & set(sys.modules); "
        "assert not heavy, heavy; assert all(getattr(saga, name) for name in saga.__all__); "
        "from saga import action; import saga.action; assert callable(action) and callable(saga.action)"
    )
    code, _, err = await ran(ROOT, sys.executable, "-c", probe)
    assert code == 0, err


async def test_the_actions_of_a_module_are_listed_and_shown(folder: Path) -> None:
    listing = ["list", "--module", "orders", "--domain", "shop", "-o", "json"]
    code, out, err = await saga_alone(folder, "actions", *listing)
    assert code == 0, err
    assert [row["name"] for row in json.loads(out)] == ["shop.reserve", "shop.ship"]
    code, out, err = await saga_alone(folder, "actions", "show", "ship", "--module", "orders", "-o", "json")
    assert code == 0, err
    assert set(json.loads(out)["input"]["properties"]) == {"reservation", "express"}
    code, _, err = await saga_alone(folder, "actions", "show", "lock_exchange_rat")
    assert code == 3
    assert "is it payments.lock_exchange_rate" in err
