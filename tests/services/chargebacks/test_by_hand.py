"""A claim as people handle it: a file becomes a document, the queue shows what is asked, `saga signal` decides."""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx2

from saga.cli.system import running
from services.chargebacks.demo import DOMAINS, outside
from services.chargebacks.sample import drawn
from services.chargebacks.trail import problems
from tests.services.chargebacks.claims import a_claim, written


async def command(*arguments: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(stdin.encode())
    assert process.returncode == 0
    return out.decode()


async def test_a_pdf_is_sent_corrected_and_credited_by_commands(tmp_path: Path) -> None:
    memo = tmp_path / "memo.pdf"
    memo.write_bytes(drawn(written(a_claim()).replace("Contract no.      PREM-2231\n", "")))
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with (
        outside() as world,
        running(DOMAINS, tmp_path / "data", environment=environment | dict(world.environment)) as system,
        httpx2.AsyncClient(base_url=system.api_url, trust_env=False) as http,
    ):
        at = ["--api", system.api_url, "-o", "json"]
        document = await command("services.chargebacks.documents", str(memo))
        told = await command("saga.cli.main", "start", "chargeback", "--input", "-", *at, stdin=document)
        saga_id = json.loads(told)["saga_id"]
        step = f"/api/v1/chargebacks/reviews/{saga_id}/review_extraction"
        async with asyncio.timeout(30):
            seen = 0
            while (await http.get(step)).status_code == 404:
                asked = {"after_sequence": seen, "wait_s": 10}
                seen = (await http.get(f"/api/v1/sagas/{saga_id}", params=asked)).json()["sequence"]
        (case,) = (await http.get("/api/v1/chargebacks/reviews")).json()["items"]
        assert [finding["place"] for finding in case["findings"]] == ["/contract"]
        decision = {"decision": "approve", "reviewer": "ada", "corrections": {"contract": "PREM-2231"}}
        await command(
            "saga.cli.main",
            "signal",
            saga_id,
            case["step"],
            "--by",
            "ada",
            "--payload",
            json.dumps(decision),
            *at,
        )
        async with asyncio.timeout(30):
            status = ""
            while status != "completed":
                asked = {"after_sequence": seen, "wait_s": 10}
                saga = (await http.get(f"/api/v1/sagas/{saga_id}", params=asked)).json()
                seen, status = saga["sequence"], saga["status"]
        resolved = (await http.get(f"/api/v1/chargebacks/resolutions/{saga_id}")).json()
        assert (resolved["outcome"], resolved["credited"]["amount"]) == ("credited", str(a_claim().total))
        (document_of_trail,) = (await http.get(f"/api/v1/chargebacks/trail/{saga_id}")).json()
    assert problems([document_of_trail]) == []
    assert document_of_trail["entries"][0]["said"]["reviewers"] == ["ada"]
