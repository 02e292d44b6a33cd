"""A server that asks for credentials lets in who has the file, and nobody else."""

import asyncio
import base64
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys
import pytest

from contracts.failure import Unusable
from events.bus import Bus
from events.servers import check_server, find_binary
from events.settings import BusSettings
from events.streams import declare
from saga.cli.doctor import examine

UNLIMITED = dict.fromkeys(
    ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams",
     "consumer"), -1
)  # fmt: skip


# The library has no types.
KEYS: Any = nkeys


class Identity:
    """A key pair that signs claims, as `nsc` makes them."""

    def __init__(self, kind: int) -> None:
        self.seed = KEYS.encode_seed(os.urandom(32), kind)
        self._pair = KEYS.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def sign(self, subject: str, name: str, claims: dict[str, Any]) -> str:
        """A JWT about the subject."""
        payload = {"jti": name, "iat": 1, "iss": self.public, "sub": subject, "name": name}
        head = _encoded({"typ": "JWT", "alg": "ed25519-nkey"})
        body = _encoded(payload | {"nats": claims | {"version": 2}})
        signature = base64.urlsafe_b64encode(self._pair.sign(f"{head}.{body}".encode())).decode().rstrip("=")
        return f"{head}.{body}.{signature}"


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Guarded:
    """A server that lets in only who has the credentials file."""

    url: str
    credentials: str


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    operator, account, system, user = (
        Identity(kind)
        for kind in (
            nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
        )
    )  # fmt: skip
    limits = UNLIMITED | {"wildcards": True}
    tokens = {
        account.public: operator.sign(account.public, "sagas", {"type": "account", "limits": limits}),
        system.public: operator.sign(
            system.public, "system", {"type": "account", "limits": {"conn": -1, "subs": -1}}
        ),
    }
    jwt = account.sign(user.public, "participant", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    credentials = tmp_path / "saga.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    preload = "\n".join(f"  {public}: {token}" for public, token in tokens.items())
    (tmp_path / "server.conf").write_text(
        f'listen: "127.0.0.1:-1"\njetstream {{ store_dir: {json.dumps(str(tmp_path / "store"))} }}\n'
        f"operator: {operator.sign(operator.public, 'operator', {'type': 'operator'})}\n"
        f"system_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
    )
    process = await asyncio.create_subprocess_exec(
        str(find_binary({"PATH": ""})), "-c", str(tmp_path / "server.conf"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(20):
            while b"Server is ready" not in said:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
        found = re.search(rb"client connections on (\S+)", said)
        assert found
        yield Guarded(f"nats://{found[1].decode()}", str(credentials))
    finally:
        process.terminate()
        await process.wait()


async def test_the_file_opens_the_server(guarded: Guarded) -> None:
    settings = BusSettings(url=guarded.url, credentials=guarded.credentials)
    async with await Bus.connect(settings) as bus:
        assert await declare(bus)


async def test_without_the_file_it_stays_closed(guarded: Guarded) -> None:
    with pytest.raises(Unusable, match=r"[Aa]uthorization"):
        await check_server(guarded.url)


async def test_doctor_uses_the_file(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", guarded.url)
    monkeypatch.setenv("SAGA_BUS_CREDENTIALS", guarded.credentials)
    found = {row["check"]: row for row in await examine()}
    assert found["nats-server"]["ok"], found["nats-server"]
    assert found["sync to disk"]["found"].startswith("not known")
