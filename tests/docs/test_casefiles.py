"""The page of casefiles: its script runs as pasted beside the system it starts; its codes are all there are."""

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

from services.casefiles.definitions import DEFINITIONS
from services.casefiles.sample import MAILBOX
from tests.docs.test_docs import ROOT, blocks

PAGE = ROOT / "docs/domains/casefiles.md"
PRINTED = """\
casefile-setup completed
casefile-gather completed
casefile-analysis completed
[{'reference': 'INV-1044', 'claimed': {'amount': '2400.00', 'currency': 'EUR'}, \
'booked': {'amount': '2040.00', 'currency': 'EUR'}}]
"""


async def output_of(*command: str, environment: dict[str, str], folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_the_script_of_the_page_runs_as_pasted(tmp_path: Path) -> None:
    lay_out, enter, up = blocks(PAGE, "sh")[0].strip().splitlines()
    assert (enter, up) == (". ./office.env", ".venv/bin/saga up casefiles")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    await output_of("sh", "-e", "-c", lay_out, environment=environment, folder=tmp_path)
    (tmp_path / "office.py").write_text(blocks(PAGE, "python")[0])
    system = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", f"{enter}\nexec {up} --port 0",
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
        printed = await output_of(sys.executable, "office.py", environment=told, folder=tmp_path)
    finally:
        system.send_signal(signal.SIGTERM)
        await system.wait()
    assert re.sub(r" +\n", "\n", printed).startswith(PRINTED)
    assert "casefile-analysis compensated {'code': 'casefile.unknown'" in printed
    done = Counter(re.findall(r"casefile-(?:setup|gather|analysis)@1 (\w+) done", printed))
    assert done == Counter(step.name for definition in DEFINITIONS for step in definition.steps)


async def test_the_workflow_in_code_prints_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text(blocks(PAGE, "python")[1])
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    told = environment | {"PYTHONPATH": str(ROOT), "SAGA_MAILBOX": str(MAILBOX)}
    printed = await output_of(sys.executable, "setup.py", environment=told, folder=tmp_path)
    assert printed == blocks(PAGE, "text")[0]


def test_every_error_is_in_the_page() -> None:
    raised = {
        code
        for source in (ROOT / "services/casefiles").rglob("*.py")
        for code in re.findall(r'(?:Refused|Unavailable)\(\s*"([a-z_.]+)"', source.read_text())
    }
    assert len(raised) > 10
    assert {code for code in raised if f"`{code}`" not in PAGE.read_text()} == set()
