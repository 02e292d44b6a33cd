"""`saga doctor`: is this machine fit, and is the server?"""

import os
import sqlite3
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2

from contracts.failure import Unusable
from events.servers import check_server, find_binary, without_secrets

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
        await _sync(),
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
            info = await check_server(url, credentials=os.environ.get("SAGA_BUS_CREDENTIALS"))
            return _row("nats-server", True, f"{info.version} at {without_secrets(url)}")
        return _row("nats-server", True, f"none in NATS_URL; would start {find_binary(os.environ)}")
    except Unusable as error:
        return _row("nats-server", False, str(error))


async def _sync() -> dict[str, Any]:
    """Whether what is acknowledged is on disk. Only the server's monitoring port tells."""
    if not os.environ.get("NATS_URL"):
        return _row("sync to disk", True, "always: saga up sets it for its own server")
    monitor = os.environ.get("SAGA_NATS_MONITOR_URL")
    if not monitor:
        return _row("sync to disk", True, "not known: set SAGA_NATS_MONITOR_URL, as in http://127.0.0.1:8222")
    try:
        async with httpx2.AsyncClient(timeout=3, trust_env=False) as client:
            config = (await client.get(f"{monitor.rstrip('/')}/varz")).json()["jetstream"]["config"]
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        reason = str(error) or type(error).__name__
        return _row("sync to disk", False, f"{without_secrets(monitor)} does not tell: {reason}")
    if config.get("sync_always"):
        return _row("sync to disk", True, "always")
    seconds = config.get("sync_interval", 0) / 1e9
    return _row("sync to disk", False, f"every {seconds:g} s: set jetstream.sync_interval to always")
