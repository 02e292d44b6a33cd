"""Rules of the house that are no wishes, because they are tests."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from importlinter import cli  # noqa: F401 - proves that the linter of `make check` is installed
from importlinter.api import read_configuration

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "events", "saga", "services")
IMPORT_RULES = {
    "contracts <- events <- saga <- services",
    "only events knows NATS and FastStream",
    "contracts hold no I/O: neither a database nor a web framework",
    "domains do not know each other",
    "steps do not know each other",
}


def sources(*packages: str) -> Iterator[Path]:
    for package in packages or PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_imports_go_one_way_only() -> None:
    configuration = read_configuration(str(ROOT / "pyproject.toml"))
    assert {options["name"] for options in configuration["contracts_options"]} >= IMPORT_RULES
    linted = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.returncode == 0, linted.stdout


def bare_publishes(source: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "publish"
        and "broker" in ast.unparse(node.func.value)
        and "stream" not in {keyword.arg for keyword in node.keywords}
    ]


def test_no_broker_publishes_without_a_stream() -> None:
    assert bare_publishes("await self.broker.publish(m, 's')") == [1]
    assert not bare_publishes("await broker.publish(m, 's', stream='S')")
    found = {str(path): lines for path in sources() if (lines := bare_publishes(path.read_text()))}
    assert not found


def raw_publishes(source: str, *receivers: str) -> list[int]:
    """Lines that publish by a connection of nats-py: `client.publish`, `self._bus.jetstream.publish`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"publish", "publish_async"}
        and ast.unparse(node.func.value).rsplit(".", 1)[-1].lstrip("_") in receivers
    ]


def test_only_the_publisher_publishes_to_streams() -> None:
    assert raw_publishes("await self._bus.jetstream.publish(s, b)", "jetstream", "js") == [1]
    found = {
        str(path): lines
        for path in sources()
        if (lines := raw_publishes(path.read_text(), "jetstream", "js"))
    }
    assert not found


def test_only_events_publishes_by_the_connection() -> None:
    assert raw_publishes("await bus.client.publish(s, b)", "client") == [1]
    found = {
        str(path): lines
        for path in sources("contracts", "saga", "services")
        if (lines := raw_publishes(path.read_text(), "client", "nc", "broker"))
    }
    assert not found


def test_no_file_names_a_registry_host_or_a_path_of_a_machine() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "npm" + "js.org", "/ro" + "ot/", "/wo" + "rk/")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked()
        if path.suffix not in {".png"}
        for word in hosts
        if word in path.read_text(errors="replace")
    ]
    assert not found


def test_the_lock_has_a_hash_for_every_requirement() -> None:
    lock = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    assert all("--hash=sha256:" in line for line in lines)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_four_package_names_are_ours(name: str) -> None:
    assert Path(import_module(name).__file__ or "").parent == ROOT / name


def test_the_core_has_no_clock_no_chance_and_no_input_or_output() -> None:
    forbidden = {"asyncio", "time", "datetime", "random", "events", "nats", "sqlalchemy", "httpx2", "os"}
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse((ROOT / "saga" / "choreography.py").read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert not imported & forbidden


def test_no_source_swallows_an_exception_with_a_bare_pass() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body)
    ]
    assert not found
