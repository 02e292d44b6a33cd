"""The guide to workflows: its commands are run as pasted, its documents are what they say."""

import asyncio
import os
import re
from pathlib import Path

from contracts.workflows import compile_workflow, parse_workflow
from saga.cli.system import running
from saga.domains import known_templates
from saga.workflows.changes import _MOVES
from saga.workflows.templates import filled, read_template
from tests.commands import stand_in
from tests.docs.test_docs import ROOT, blocks

GUIDE = ROOT / "docs/guides/workflows.md"


async def test_the_commands_of_the_guide_work_as_pasted(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    (tmp_path / "price-orders.yaml").write_text(blocks(GUIDE, "yaml")[0])
    told = []
    async with running(["integrations"], tmp_path / "data", environment=environment) as system:
        paths = f"{stand_in(tmp_path)}{os.pathsep}{environment['PATH']}"
        shown = {"PATH": paths, "SAGA_API_URL": system.api_url, "USER": "ada", "COLUMNS": "200"}
        for block in blocks(GUIDE, "sh"):
            shell = await asyncio.create_subprocess_exec(
                "sh", "-e", "-c", block, cwd=tmp_path, env=environment | shown,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            out, _ = await shell.communicate()
            assert shell.returncode == 0, out.decode()
            told.append(out.decode())
    kept, changed, chosen, _, moved, made = told
    assert "completed" in kept
    assert "/steps/0/input/operations" in changed
    assert chosen.count("weight: 90") == 2
    assert "unchanged" in moved
    assert "monthly-export" in made


def test_the_template_of_the_guide_is_one() -> None:
    template = read_template(blocks(GUIDE, "yaml")[1].encode(), "the guide")
    document = filled(template, "nap", template.example.parameters)
    assert "deadline_s" not in document
    assert document["description"] == "Rest, because tired."
    compile_workflow(parse_workflow(document), "1")


def test_the_guide_names_every_template_that_is_shipped() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", GUIDE.read_text(), re.MULTILINE)) == set(known_templates())


def test_the_guide_tells_what_every_status_can_become() -> None:
    rows = re.findall(r"^\| `([A-Z]+)` \| [^|]+ \| ([^|]+) \|$", GUIDE.read_text(), re.MULTILINE)
    assert {status: set(re.findall(r"[A-Z]+", moves)) for status, moves in rows} == _MOVES
