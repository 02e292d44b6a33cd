"""A real nats-server for development, demos and tests: found, started, and stopped with its owner.

The server listens on loopback only, on free ports, in a store folder of its own, and syncs every message
to disk unless told otherwise. It stops when its owner does, also when the owner is killed: a small shell
between them holds a pipe to the owner, and ends the server when the pipe breaks. Two servers never share a
store: the folder is locked for as long as the server, not only its owner, lives.
"""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from contracts.failure import Unusable
from events.servers import MINIMUM, ServerInfo, check_server, find_binary

__all__ = ["MINIMUM", "EmbeddedServer", "ServerInfo", "check_server", "find_binary", "server"]

_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 10.0
_LOCK_TIMEOUT_S = 6.0
_POLL_S = 0.02
_ANY_PORT = -1
# The owner says `end` when it stops the server; if `read` ends without that, the owner has died, and a store that
# was temporary ($2) goes with the server. A server that is stopped or hangs
# gets 5 s, less than the owner and the next one at the lock wait. Standard output is the locked file: the
# watcher must not hold it, the server must. The watcher goes with the server, lest the number it would kill
# belong to another process by then.
_SUPERVISOR = """
orphaned() { [ -z "$1" ] || touch "$1/orphaned"; }
exec 3<&0 </dev/null
"$0" -c "$1" 3<&- &
server=$!
(
    read -r said <&3
    [ "$said" = end ] || orphaned "$2"
    kill -TERM $server
    for second in 1 2 3 4 5; do sleep 1; kill -0 $server || exit; done
    kill -KILL $server
) >/dev/null 2>&1 &
watcher=$!
wait $server
kill $watcher 2>/dev/null
[ -z "$2" ] || [ ! -e "$2/orphaned" ] || rm -rf "$2"
"""


class EmbeddedServer:
    """A nats-server of our own. Use as an async context manager; `kill` and `start` again keep ports and store.

    `store` is kept; without one a temporary folder is used and removed by `stop`. `sync_interval` is
    nats-server's: "always", or a duration such as "2m". `port` 0 takes any free one.
    """

    def __init__(
        self, binary: Path, store: Path | None = None, *, sync_interval: str = "always", port: int = 0
    ) -> None:
        self._binary = binary
        self._temporary = store is None
        self.store = Path(tempfile.mkdtemp(prefix="saga-nats-")) if store is None else store
        # Unquoted, the server reads 2m as two million seconds.
        self._sync = sync_interval if sync_interval == "always" else json.dumps(sync_interval)
        self._port = port or _ANY_PORT
        self._monitor_port = _ANY_PORT
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def monitor_url(self) -> str:
        """Where the server tells of itself over HTTP: `/healthz`, `/varz`, `/jsz`."""
        return f"http://127.0.0.1:{self._monitor_port}"

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return int((self.store / "server.pid").read_text())

    async def start(self) -> Self:
        """Start it and wait until it answers. Raises Unusable, with the end of its log if it does not, or if
        another server lives in the store."""
        again = self._monitor_port != _ANY_PORT
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await self._started():
                    # Its port can be lent to an outgoing connection, while it was away: that one passes.
                    if not (again and "address already in use" in self._log_end()):
                        raise Unusable(f"nats-server ended at its start: {self._log_end()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            await self.stop()
            raise Unusable(
                f"nats-server did not start within {_START_TIMEOUT_S} s: {self._log_end()}"
            ) from error
        except BaseException:
            await self.stop()
            raise
        return self

    async def _started(self) -> bool:
        self.store.mkdir(parents=True, exist_ok=True)
        with (self.store / "server.out").open("a") as out:
            await self._lock(out)
            out.truncate(0)
            for stale in (*self.store.glob("*.ports"), self.store / "server.pid"):
                stale.unlink(missing_ok=True)
            config = self.store / "server.conf"
            config.write_text(self._config())
            self._process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _SUPERVISOR, str(self._binary), str(config),
                str(self.store) if self._temporary else "",
                stdin=asyncio.subprocess.PIPE, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        return await self._ready(self._process)

    async def _lock(self, file: IO[str]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOCK_TIMEOUT_S):
                while True:
                    with suppress(BlockingIOError):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        return
                    await asyncio.sleep(_POLL_S)
        raise Unusable(f"another nats-server runs in {self.store}: stop it, or use another folder")

    def _config(self) -> str:
        return "\n".join(
            [
                f'listen: "127.0.0.1:{self._port}"',
                f'http: "127.0.0.1:{self._monitor_port}"',
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

    async def _ready(self, process: asyncio.subprocess.Process) -> bool:
        """True when it answers, False when it has ended."""
        while process.returncode is None:
            for file in self.store.glob("*.ports"):
                with suppress(ValueError, KeyError, IndexError, OSError):
                    ports = json.loads(file.read_text())
                    port, monitor_port = _port(ports["nats"]), _port(ports["monitoring"])
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    self._port, self._monitor_port = port, monitor_port
                    return True
            await asyncio.sleep(_POLL_S)
        return False

    def _log_end(self) -> str:
        for name in ("server.log", "server.out"):
            with suppress(OSError):
                if lines := (self.store / name).read_text().splitlines()[-3:]:
                    return " | ".join(lines)
        return "it left no log"

    async def stop(self) -> None:
        """Stop it, and remove the store if it was temporary."""
        await self._end()
        if self._temporary:
            shutil.rmtree(self.store, ignore_errors=True)

    async def restart(self) -> Self:
        """Stop it in good order and start it with the same ports and store."""
        await self._end()
        return await self.start()

    async def kill(self) -> None:
        """Kill it with SIGKILL, for tests of faults. `start` brings it back with the same ports and store."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.pid, signal.SIGKILL)
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with suppress(ConnectionError):
                process.stdin.write(b"end\n")
                await process.stdin.drain()
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


def _port(urls: list[str]) -> int:
    return int(urls[0].rsplit(":", 1)[1])


@asynccontextmanager
async def server(
    environment: Mapping[str, str], store: Path | None = None, *, sync_interval: str = "always"
) -> AsyncIterator[str]:
    """The URL of a usable server: the one in `NATS_URL`, else an embedded one for the time of the block."""
    if url := environment.get("NATS_URL"):
        await check_server(url, credentials=environment.get("SAGA_BUS_CREDENTIALS"))
        yield url
        return
    async with EmbeddedServer(find_binary(environment), store, sync_interval=sync_interval) as embedded:
        yield embedded.url
