"""The compose file cannot be run everywhere, so what it says is compared with what there is."""

from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from saga.cli.main import app

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SAGA_SERVICES = [name for name, service in COMPOSE["services"].items() if service["command"][0] == "saga"]


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
        named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
        assert set(named) <= COMPOSE["volumes"].keys()


def test_files_that_are_mounted_or_copied_exist() -> None:
    mounted = [
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service["volumes"]
        if volume.startswith("./")
    ]
    copied = [
        name
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
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
