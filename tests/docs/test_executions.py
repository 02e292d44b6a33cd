"""The guides to running workflows, run as they stand: every request of one, the code of the other."""

import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from saga.api.app import create_app, open_parts
from saga.api.server import serve_api
from saga.domains import domain_actions
from tests.docs.test_docs import ROOT, blocks
from tests.world import Running

HTTP, PYTHON = ROOT / "docs/guides/executions.md", ROOT / "docs/guides/python-client.md"
REQUEST = re.compile(r"^(GET|POST) (\S+)(?:\s+(\{.*\}))?$", re.MULTILINE)


@pytest.fixture
async def url(running: Running, data: Path) -> AsyncIterator[str]:
    log_url = f"sqlite+aiosqlite:///{data / 'log.db'}"
    async with (
        running.serving(*domain_actions("integrations")),
        open_parts(running.bus, running.definitions, log_url) as parts,
        serve_api(create_app(parts)) as served,
    ):
        yield served


def of_the_guide() -> dict[str, Any]:
    """The names that the code of the client's guide defines."""
    (code,) = blocks(PYTHON, "python")
    module = type(sys)("client_guide")
    exec(compile(code, "client_guide", "exec"), module.__dict__)
    return module.__dict__


async def test_the_code_of_the_client_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await of_the_guide()["bill"](url) == 120
    refused, wrong, *listed = capsys.readouterr().out.splitlines()
    assert "COMPENSATED" in refused
    assert "wait.not_approved" in refused
    assert "rate" in wrong
    assert [line.split()[1] for line in listed] == ["COMPENSATED", "COMPLETED"]


async def test_every_request_of_the_guide_is_answered(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as api:
        created = await api.post("/api/v1/workflows?activate=true", json=of_the_guide()["INVOICE"])
        assert created.status_code == 201, created.text
        requests = REQUEST.findall(HTTP.read_text())
        assert len(requests) == 12
        started: list[str] = []
        for method, path, body in requests:
            # The last one is signalled, and may have ended when it is to be cancelled.
            execution = (started or [""])[0 if path.endswith("/cancel") else -1]
            told = json.loads(body) if body else None
            answer = await api.request(method, path.replace("EXECUTION", execution), json=told)
            assert answer.is_success, (path, answer.text)
            if answer.json().get("created"):
                started.append(answer.json()["execution_id"])


async def test_the_guide_names_every_status() -> None:
    from saga.executions import ExecutionStatus

    assert set(re.findall(r"^\| `([A-Z]+)` \|", HTTP.read_text(), re.MULTILINE)) == set(ExecutionStatus)
