"""`saga doctor`: is this machine fit, and is the server?"""

import os
import sqlite3
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contracts.failure import Unusable
from events.embedded import check_server, find_binary

_PACKAGES = ("contracts", "events", "saga", "services")
_DISTRIBUTIONS = ("faststream", "nats-py", "pydantic", "sqlmodel", "pybreaker", "fastapi")


async def examine() -> list[dict[str, Any]]:
    """One row per check: its name, whether it is ok, and what was found."""
    return [
        _row("python", sys.version_info >= (3, 12), sys.version.split()[0]),
        _row("sqlite", sqlite3.sqlite_version_info >= (3, 35), sqlite3.sqlite_version),
        *(_ours(name) for name in _PACKAGES),
        *(_row(name, True, version(name)) for name in _DISTRIBUTIONS),
        await _server(),
    ]


def _row(check: str, ok: bool, found: str) -> dict[str, Any]:
    return {"check": check, "ok": ok, "found": found}


def _ours(name: str) -> dict[str, Any]:
    """`events` and `contracts` are also names of packages in the public index."""
    module = import_module(name)
    home = Path(import_module("saga").__file__ or "").parent.parent
    found = Path(module.__file__ or "").parent.parent
    return _row(f"package {name}", found == home, "ours" if found == home else f"another one: {found}")


async def _server() -> dict[str, Any]:
    url = os.environ.get("NATS_URL")
    try:
        if url:
            info = await check_server(url)
            return _row("nats-server", True, f"{info.version} at {url}")
        return _row("nats-server", True, f"none in NATS_URL; would start {find_binary(os.environ)}")
    except Unusable as error:
        return _row("nats-server", False, str(error))
