"""Runs `saga` commands as processes of their own, without the seconds that importing everything takes each of them.

A process that has imported all of it forks one for every command: with its own arguments, environment, folder and
streams, and a real exit code. That `python -m saga.cli.main` does the same is seen where tests start `saga up`.
"""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_NEEDED = ("saga.cli.remote", "saga.cli.system", "saga.cli.demo", "saga.cli.output", "rich.table", "yaml")
_KILLED = 137
# For shells: it hands its streams on, and passes the signals it gets.
_STAND_IN = """\
#!{python} -IS
import json, os, signal, socket, sys
job = {{"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd()}}
with socket.socket(socket.AF_UNIX) as zygote:
    zygote.connect({path!r})
    socket.send_fds(zygote, [json.dumps(job).encode() + b"\\n"], [0, 1, 2])
    with zygote.makefile() as told:
        command = int(told.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(command, number))
        sys.exit(int(told.readline() or {killed}))
"""


async def saga(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: str = ""
) -> tuple[int, str, str]:
    """Run a command; its exit code, and what it wrote to stdout and stderr."""
    job = {
        "argv": ["saga", *arguments],
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
    }
    path = await asyncio.to_thread(_zygote)
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(stdin)
        given.seek(0)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        streams = [stream.fileno() for stream in (given, out, err)]
        socket.send_fds(connection, [json.dumps(job).encode() + b"\n"], streams)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            _, code = (await reader.read()).split(b"\n", 1)
        finally:
            writer.close()
            await writer.wait_closed()
        out.seek(0)
        err.seek(0)
        return int(code or _KILLED), out.read(), err.read()


def stand_in(folder: Path) -> Path:
    """A `saga` for the shells of guides, as `.venv/bin/saga` below this folder, and `faststream` as it is; the folder
    they are in."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "saga").write_text(_STAND_IN.format(python=sys.executable, path=_zygote(), killed=_KILLED))
    (programs / "saga").chmod(0o755)
    (programs / "faststream").symlink_to(Path(sys.executable).with_name("faststream"))
    return programs


@cache
def _zygote() -> str:
    """Where the process listens that forks commands; it ends with this one."""
    folder = tempfile.TemporaryDirectory(prefix="saga-zygote-")
    path = str(Path(folder.name) / "socket")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.commands", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def end() -> None:
        process.kill()
        process.communicate()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the process that forks commands did not start"
    return path


def _serve(path: str) -> None:
    import gc

    for module in _NEEDED:
        import_module(module)
    from contracts.actions import DOMAINS
    from saga.cli.main import main
    from saga.domains import domain_actions, domain_api, shipped_definitions

    shipped_definitions()
    for domain in DOMAINS:
        domain_actions(domain)
        domain_api(domain)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _run(connection, main)
            connection.close()


def _run(connection: socket.socket, main: Any) -> None:
    told, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while not told.endswith(b"\n"):
        told += connection.recv(1 << 16)
    job = json.loads(told)
    for number, opened in enumerate(streams):
        os.dup2(opened, number)
        os.close(opened)
    connection.sendall(f"{os.getpid()}\n".encode())
    os.chdir(job["cwd"])
    # As `python -m` has it.
    sys.path[0] = job["cwd"]
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv = job["argv"]
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, "r"), os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1),
    )  # fmt: skip
    code = _code(main)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    connection.close()
    os._exit(0)


def _code(main: Any) -> int:
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])
