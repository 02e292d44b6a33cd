"""Secrets by name: from files (`SAGA_SECRETS_DIR`), else from the environment (`SAGA_SECRET_<NAME>`).

A secret is read when it is used, so that a changed file counts at once. `SAGA_SECRET_HOSTS` binds secrets to
hosts (`crm-token=crm.example,api.crm.example;other=...`): a bound secret goes nowhere else.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from contracts.failure import InvalidContract
from saga.refusals import Refused

FOLDER_VARIABLE = "SAGA_SECRETS_DIR"
HOSTS_VARIABLE = "SAGA_SECRET_HOSTS"
PREFIX = "SAGA_SECRET_"


class Secrets(Protocol):
    """Where secrets come from."""

    async def get(self, name: str, host: str | None) -> SecretStr:
        """The secret, to be used with a host, or None if it stays here.

        Raises Refused: unknown, unusable or not for that host.
        """
        ...


class LocalSecrets:
    """Secrets of this machine."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        folder = environment.get(FOLDER_VARIABLE)
        self._folder = Path(folder) if folder else None
        self._hosts = _bindings(environment.get(HOSTS_VARIABLE, ""))

    async def get(self, name: str, host: str | None) -> SecretStr:
        if host is not None and name in self._hosts and host.lower() not in self._hosts[name]:
            raise Refused("secret.other_host", f"the secret {name!r} is not for {host}")
        value = await self._read(name)
        if value is None:
            raise Refused(
                "secret.unknown",
                f"no secret {name!r}: expected a file of {FOLDER_VARIABLE} or {_variable(name)}",
            )
        if not value or not value.isascii() or not value.isprintable():
            raise Refused("secret.unusable", f"the secret {name!r} is empty or not one line of plain text")
        return SecretStr(value)

    async def _read(self, name: str) -> str | None:
        if self._folder is not None:
            path = self._folder / name
            if await asyncio.to_thread(path.is_file):
                return (await asyncio.to_thread(path.read_text, errors="replace")).strip()
        return self._environment.get(_variable(name))


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace("-", "_")


def _bindings(text: str) -> dict[str, frozenset[str]]:
    bindings = {}
    for entry in filter(None, map(str.strip, text.split(";"))):
        name, equals, hosts = entry.partition("=")
        if not equals:
            raise InvalidContract(f"{HOSTS_VARIABLE}: {entry!r} is no binding: expected name=host,host")
        bindings[name.strip()] = frozenset(host.strip().lower() for host in hosts.split(","))
    return bindings
