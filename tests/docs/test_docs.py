"""What the documents say is run, or compared with what there is."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from saga.cli.main import app
from tests.commands import stand_in
from tests.world import Running

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                yield page, target


def test_links_lead_somewhere() -> None:
    broken = [f"{page.name}: {target}" for page, target in links() if not (page.parent / target).exists()]
    assert not broken


def test_the_reference_names_every_command() -> None:
    named = set(re.findall(r"\| `saga ([\w-]+)` \|", (ROOT / "docs/reference/cli.md").read_text()))
    assert named == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


async def test_the_saga_of_the_guide_runs(running: Running) -> None:
    code = blocks(ROOT / "docs/guides/write-a-saga.md", "python")[0]
    names: dict[str, object] = {"__name__": "guide"}
    module = type(sys)("guide")
    sys.modules["guide"] = module
    exec(compile(code, "guide", "exec"), module.__dict__)
    names.update(module.__dict__)
    order = module.__dict__["ORDER"]
    await running.publish(order)
    async with running.serving(module.__dict__["reserve"], module.__dict__["confirm"]):
        good = await running.start(order, item="tea", quantity=2)
        assert (await running.ended(order, good)).status == "completed"
        bad = await running.start(order, item="tea", quantity=20)
        assert (await running.ended(order, bad)).status == "compensated"


@pytest.mark.skipif(shutil.which("sh") is None, reason="the tour is a shell session")
async def test_the_tour_of_the_readme_works_as_pasted(tmp_path: Path) -> None:
    up, *rest = [block for block in blocks(ROOT / "README.md", "sh") if "make demo" not in block]
    assert up.strip() == ".venv/bin/saga up"
    stand_in(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    system = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("saga"), "up", "--port", "0",
        cwd=tmp_path, env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert system.stderr is not None
    try:
        async with asyncio.timeout(60):
            line = ""
            while "API" not in line:
                line = (await system.stderr.readline()).decode()
                assert line
        told = environment | {"SAGA_API_URL": line.split()[1].removesuffix("/api/v1")}
        for block in rest:
            shell = await asyncio.create_subprocess_exec(
                "sh", "-e", "-c", block, cwd=tmp_path, env=told, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            out, _ = await shell.communicate()
            assert shell.returncode == 0, out.decode()
        assert "exit code 9" in out.decode()
    finally:
        system.send_signal(signal.SIGTERM)
        await system.wait()
