"""The command line, run as people run it: as a process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import saga

SAGA = [sys.executable, "-m", "saga.cli.main"]


class Cli:
    """Runs `saga` with an API and a bus."""

    def __init__(self, api: str, environment: dict[str, str]) -> None:
        self.api = api
        self.environment = {**environment, "SAGA_API_URL": api}

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        return await saga(*arguments, env=self.environment, stdin=stdin)

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


# One process runs all of them: then one system is enough.
pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture(scope="module")
async def cli(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cli]:
    """A whole system, started by `saga up` and stopped by SIGTERM."""
    data = tmp_path_factory.mktemp("up")
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    process = await asyncio.create_subprocess_exec(
        *SAGA, "up", "--port", "0", "--data", str(data), env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said: dict[str, str] = {}
    async with asyncio.timeout(60):
        while "stop" not in said:
            line = (await process.stderr.readline()).decode()
            assert line, "saga up ended at its start"
            word, _, rest = line.strip().partition(" ")
            said[word] = rest.split()[0] if rest.split() else ""
    told = {**environment, "NATS_URL": said["bus"], "SAGA_DATA": str(data)}
    yield Cli(said["API"].removesuffix("/api/v1"), told)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        await process.wait()


def payment(phone: str = "+254712123456") -> dict[str, Any]:
    return {
        "reference": "INV-1",
        "amount": {"amount": "120.00", "currency": "GBP"},
        "destination_currency": "KES",
        "sender": {
            "name": "Ann Reed",
            "phone": "+447400123456",
            "country": "GB",
            "account": "A1",
            "kyc_tier": 3,
        },
        "recipient": {"name": "Grace Mwangi", "phone": phone, "country": "KE", "operator": "mpesa"},
    }


async def test_a_payment_is_started_watched_and_told(cli: Cli) -> None:
    saga = await cli.json("start", "payment-standard", "--input", json.dumps(payment()), "--wait")
    assert saga["status"] == "completed"
    code, out, _ = await cli.run("status", saga["saga_id"])
    assert code == 0
    assert "confirm_payment" in out
    assert [item["saga_id"] for item in (await cli.json("list", "--status", "completed"))["items"]]
    code, out, _ = await cli.run("events", saga["saga_id"], "-o", "jsonl")
    assert json.loads(out.splitlines()[0])["fact"]["type"] == "saga.started"


async def test_a_refused_payment_exits_with_nine(cli: Cli) -> None:
    code, out, _ = await cli.run(
        "start", "payment-standard", "--input", json.dumps(payment("+25471")), "--wait", "-o", "json"
    )
    assert (code, json.loads(out)["status"]) == (9, "compensated")


async def test_errors_are_one_line_and_an_exit_code(cli: Cli) -> None:
    assert (await cli.run("status", "unknown"))[0] == 3
    code, out, err = await cli.run("start", "payment-standard", "--input", "{}")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "/amount" in err
    assert (await cli.run("start", "payment-standard", "--input", "{ nope"))[0] == 2
    assert (await cli.run("list", "--limit", "many"))[0] == 2
    code, _, err = await cli.run("list", "--api", "http://127.0.0.1:9")
    assert (code, "saga up" in err) == (6, True)


async def test_ended_sagas_conflict_with_every_word_on_them(cli: Cli) -> None:
    saga = await cli.json("start", "payment-standard", "--input", json.dumps(payment()), "--wait")
    why = ("--reason", "late", "--by", "ann")
    for word in ("cancel", "pause", "resume"):
        assert (await cli.run(word, saga["saga_id"], *why))[0] == 4
    for word in ("skip", "retry"):
        assert (await cli.run(word, saga["saga_id"], "confirm_payment", *why))[0] == 4


async def test_definitions_are_listed_shown_and_published(cli: Cli, tmp_path: Path) -> None:
    names = [item["name"] for item in (await cli.json("definitions", "list"))]
    assert "payment-fast-track" in names
    shown = await cli.json("definitions", "show", "payment-standard@1")
    (tmp_path / "mine.json").write_text(json.dumps({**shown, "name": "mine"}))
    code, _, err = await cli.run("definitions", "publish", str(tmp_path / "mine.json"))
    assert code == 0, err


async def test_inputs_published_as_lines_become_sagas_and_show_in_the_tail(cli: Cli, tmp_path: Path) -> None:
    lines = tmp_path / "payments.jsonl"
    lines.write_text("".join(json.dumps({**payment(), "reference": f"L-{n}"}) + "\n" for n in range(3)))
    code, out, err = await cli.run("publish", str(lines), "--def", "payment-standard")
    assert (code, len(out.splitlines())) == (0, 3), err
    code, tail, _ = await cli.run("tail")
    assert code == 0
    assert {json.loads(line)["fact"]["sagaid"] for line in tail.splitlines()} >= set(out.split())


async def test_a_bad_line_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"nonsense": 1}\n')
    code, _, err = await cli.run("publish", str(tmp_path / "bad.jsonl"))
    assert (code, "line 1" in err) == (2, True)


async def test_the_audit_passes_what_is_right_and_exits_with_eight_on_what_is_not(
    cli: Cli, tmp_path: Path
) -> None:
    saga = await cli.json("start", "payment-standard", "--input", json.dumps(payment()), "--wait")
    code, out, err = await cli.run("audit", saga["saga_id"], "--json")
    report = json.loads(out)
    assert (code, report["violations"], report["log_compared"]) == (0, [], 1), err
    (tmp_path / "started").write_text(f"{saga['saga_id']}\nnever-stored\n")
    code, out, _ = await cli.run("audit", "--started", str(tmp_path / "started"), "--json")
    report = json.loads(out)
    assert (code, [one["saga_id"] for one in report["violations"]]) == (8, ["never-stored"])
    assert report["sagas"] >= 1
    code, out, _ = await cli.run("audit", "--def", "payment-standard")
    assert (code, "violations" in out) == (0, True)


async def test_the_audit_names_what_it_cannot_find(cli: Cli) -> None:
    assert (await cli.run("audit", "unknown"))[0] == 3
    assert (await cli.run("audit", "--started", "/no/such/file"))[0] == 3
    code, _, err = await cli.run("audit", "--log", "sqlite+aiosqlite:////no/such.db")
    assert (code, len(err.strip().splitlines())) == (6, 1)


async def test_doctor_finds_the_server(cli: Cli) -> None:
    checks = {finding["check"]: finding for finding in await cli.json("doctor")}
    assert checks["nats-server"]["ok"]
    assert checks["package events"]["found"] == "ours"


async def test_a_payment_saga_of_ones_own_is_made_from_a_file_and_published(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("name: payment-own\nbase: standard\nparallel: true\nmax_amount_usd: '20000'\n")
    code, out, err = await cli.run(
        "definitions", "customize", "payments", str(config), "--publish", "-o", "json"
    )
    assert (code, json.loads(out)["name"]) == (0, "payment-own"), err
    assert "warning: liquidity is reserved before screening has ended" in err
    saga = await cli.json("start", "payment-own", "--input", json.dumps(payment()), "--wait")
    assert saga["status"] == "completed"
    config.write_text("name: payment-own\nsurprise: 1\nsteps: {nobody: {}}\n")
    code, out, err = await cli.run("definitions", "customize", "payments", str(config))
    assert (code, out, "/surprise" in err) == (2, "", True)


async def test_the_tail_names_what_it_cannot_follow(cli: Cli) -> None:
    code, _, err = await cli.run("tail", "--partition", "7")
    assert (code, "there are 1, from 0" in err) == (2, True)
    code, out, _ = await cli.run("tail", "--partition", "0", "--after", "1")
    assert code == 0
    assert min(json.loads(line)["sequence"] for line in out.splitlines()) == 2


async def test_a_bus_on_which_nothing_was_served_is_told_in_one_line(cli: Cli) -> None:
    for partitions in ("1", "3"):
        empty = {**cli.environment, "SAGA_BUS_NAMESPACE": "empty", "SAGA_BUS_PARTITIONS": partitions}
        code, out, err = await Cli(cli.api, empty).run("tail")
        assert (code, out, len(err.strip().splitlines())) == (3, "", 1)


async def test_asyncapi_describes_every_step_service(cli: Cli) -> None:
    code, out, err = await cli.run("asyncapi", "payments")
    assert code == 0, err
    document = json.loads(out)
    assert document["asyncapi"].startswith("3.")
    assert sum("hears" in name for name in document["channels"]) == 9
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert "app.payments.payment_confirmed.*" in addresses


async def test_an_unreachable_bus_exits_with_six(cli: Cli) -> None:
    lonely = Cli(cli.api, {**cli.environment, "NATS_URL": "nats://127.0.0.1:9"})
    code, _, err = await lonely.run("tail")
    assert (code, len(err.strip().splitlines())) == (6, 1)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom saga.cli.main import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'faststream', 'sqlmodel', 'sqlalchemy', 'fastapi', 'nats', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
