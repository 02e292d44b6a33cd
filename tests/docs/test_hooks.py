"""The guide to hooks: its snippets are run around its own action, and its commands on the trail that comes of it."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.directives import Directives
from events.settings import BusSettings
from saga import Client, HookEvent, WorkflowBuilder
from saga.hooks import Stage
from saga.hooks.audit import open_audit
from tests.commands import stand_in
from tests.docs.test_docs import ROOT, blocks
from tests.world import Running

GUIDE = ROOT / "docs/guides/hooks.md"


def guide() -> dict[str, object]:
    module = type(sys)("hooks_guide")
    sys.modules[module.__name__] = module
    for block in blocks(GUIDE, "python"):
        exec(compile(block, GUIDE.name, "exec"), module.__dict__)
    return module.__dict__


async def test_the_guide_holds(running: Running, bus_settings: BusSettings, tmp_path: Path) -> None:
    names = guide()
    hooks = [names["note_slow_steps"], names["office_hours"], open_audit]
    workflow = WorkflowBuilder("stall").add_step("sell", params={"item": "${input.item}"}).build()
    client = Client(running.bus, running.definitions)
    async with running.serving(names["sell"], hooks=hooks):  # type: ignore[arg-type]
        handle = await names["rehearse"](client, workflow)  # type: ignore[operator]
        result = await handle.result(timeout_s=20)
    assert result.success
    assert result.steps["sell"].output.receipt.startswith("rehearsal-")
    environment = {
        **os.environ, "PATH": f"{stand_in(tmp_path)}{os.pathsep}{os.environ['PATH']}",
        "NATS_URL": bus_settings.url, "SAGA_BUS_NAMESPACE": bus_settings.namespace,
    }  # fmt: skip
    for command in blocks(GUIDE, "sh")[0].strip().splitlines():
        told = re.sub(r"(?<=--saga )\S+", handle.saga_id, command)
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", told, cwd=tmp_path, env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    assert err.decode().startswith("2 blocks in 1 chains, 0 breaks")


async def test_the_hook_of_the_guide_refuses_at_night() -> None:
    told = HookEvent(
        stage=Stage.PRE, saga_id="s", definition="d@1", step="x", action="payments.execute_mmo", attempt=1,
        at=datetime(2026, 1, 1, 3, tzinfo=UTC), directives=Directives(), input={},
    )  # fmt: skip
    with pytest.raises(PermissionError, match="night"):
        await guide()["office_hours"].run(told)  # type: ignore[attr-defined]
