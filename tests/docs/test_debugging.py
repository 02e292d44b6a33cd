"""The guides to debugging, run as pasted on a running system."""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.commands import stand_in

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The environment of a shell whose folder has `.venv`, beside a running `saga up`."""
    if shutil.which("sh") is None:
        pytest.skip("the story is a shell session")
    stand_in(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    system = await asyncio.create_subprocess_exec(
        ".venv/bin/saga",
        "up",
        "payments",
        "--port",
        "0",
        cwd=tmp_path,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    assert system.stderr is not None
    said: dict[str, str] = {}
    try:
        async with asyncio.timeout(60):
            while "stop" not in said:
                line = (await system.stderr.readline()).decode()
                assert line, "saga up ended at its start"
                word, _, rest = line.strip().partition(" ")
                said[word] = rest.split()[0] if rest.split() else ""
        api = said["API"].removesuffix("/api/v1")
        data = {"SAGA_DATA": str(tmp_path / ".saga")}
        yield environment | data | {"SAGA_API_URL": api, "NATS_URL": said["bus"], "COLUMNS": "160"}
    finally:
        system.send_signal(signal.SIGTERM)
        await system.wait()


async def run_story(page: str, environment: dict[str, str], folder: Path) -> str:
    """All its shell blocks in one shell, as pasted; what they wrote."""
    blocks = re.findall(r"```sh\n(.*?)```", (GUIDES / page).read_text(), re.DOTALL)
    shell = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", "\n".join(blocks), cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await shell.communicate()
    assert shell.returncode == 0, out.decode()
    return out.decode()


async def test_the_story_of_the_lost_payment_is_true(shop: dict[str, str], tmp_path: Path) -> None:
    told = await run_story("replay.md", shop, tmp_path)
    assert "exit code 9" in told
    for line in (
        "the saga turned round, because execute_mmo failed",
        "execute_mmo: running -> failed",
        "the log says what the stream says",
        "settle_payment (payments.settle_payment): never",
        "it had to wait for the later steps; the last of them, lock_exchange_rate, closed with #15",
        "none of the 0 sagas that are silent for 60 s is stuck",
    ):
        assert line in told
    assert re.search(r"execute_mmo +stand_down +the saga is aborted, and the step refused", told)
    assert told.count("the saga started") == 3


async def test_the_log_is_verified_and_rebuilt_as_the_guide_says(
    shop: dict[str, str], tmp_path: Path
) -> None:
    told = await run_story("rebuild.md", shop, tmp_path)
    assert len(re.findall(r"different +0\b", told)) == 2
    assert (tmp_path / "fresh.db").exists()


async def pay(shop: dict[str, str], folder: Path) -> None:
    """The payment of the story, to a wallet that is blocked."""
    payment = next(iter(re.findall(r"<<'JSON'\n(.*?)\nJSON", (GUIDES / "replay.md").read_text(), re.DOTALL)))
    start = f".venv/bin/saga start payment-standard --input - --wait <<'JSON' || true\n{payment}\nJSON\n"
    (folder / "start.sh").write_text(start)
    shell = await asyncio.create_subprocess_exec("sh", "start.sh", cwd=folder, env=shop)
    assert await shell.wait() == 0


async def test_everything_is_drawn_as_the_guide_says(shop: dict[str, str], tmp_path: Path) -> None:
    await pay(shop, tmp_path)
    await run_story("graphs.md", shop, tmp_path)
    assert "aborted: step execute_mmo" in (tmp_path / "path.svg").read_text()
    assert "payments.confirm_payment" in (tmp_path / "system.svg").read_text()
    assert (tmp_path / "payment-standard.mmd").read_text().startswith("flowchart TD")


async def test_sagas_go_out_and_in_as_the_guide_says(shop: dict[str, str], tmp_path: Path) -> None:
    await pay(shop, tmp_path)
    told = await run_story("recordings.md", shop, tmp_path)
    assert re.search(r"sagas +1\b", told)
    assert re.search(r"damaged +0\b", told)
    copied = (tmp_path / "copy.jsonl").read_text()
    assert '"phone": "[redacted]"' in copied
    assert "+254712123999" not in copied


async def test_a_new_version_is_tried_on_recorded_sagas_as_the_guide_says(
    shop: dict[str, str], tmp_path: Path
) -> None:
    await pay(shop, tmp_path)
    told = await run_story("what-if.md", shop, tmp_path)
    assert told.count("exit code 10") == 4
    assert re.search(r"1 +optimize_route +end +completed +skipped", told)
    assert re.search(r"another way from #\d+: optimize_route, end: was completed, would be skipped", told)
    assert "run again: payments.optimize_route\n" in told
    assert re.search(r"optimize_route +output/cost_bps +\d+ +\d+", told)
    assert re.search(r"run_again +{\"payments.lock_exchange_rate\": 1, \"payments.optimize_route\": 1}", told)


async def test_a_payment_is_run_again_as_the_guide_says(shop: dict[str, str], tmp_path: Path) -> None:
    await pay(shop, tmp_path)
    told = await run_story("redrive.md", shop, tmp_path)
    assert re.search(r"repeated +validate_payment, optimize_route, validate_compliance", told)
    assert re.search(r"redriven_as: [0-9a-f-]{36}", told)
    assert "1 sagas are meant" in told
    assert "was redriven before, as saga" in told
    assert "some were refused: exit code 4" in told


async def test_a_changed_service_is_tried_on_recorded_payments_as_the_guide_says(
    shop: dict[str, str], tmp_path: Path
) -> None:
    await pay(shop, tmp_path)
    told = await run_story("republish.md", shop, tmp_path)
    assert told.count("exit code 10") == 1
    assert re.search(r"validate_payment +answer +completed +failed \(payment\.ask\)", told)
    assert re.search(r"withheld: #\d+ optimize_route\.completed, ", told)
    assert re.search(r"same +1\b", told)
