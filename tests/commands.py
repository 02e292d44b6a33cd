"""Runs `saga` commands as processes of their own, without the second that importing everything takes each of them.

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
from pathlib import Path
from typing import Any

_NEEDED = ("saga.cli.remote", "saga.cli.system", "saga.cli.demo", "saga.cli.output", "rich.table", "yaml")
_KILLED = 137


async def saga(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: str = ""
) -> tuple[int, str, str]:
    """Run a command; its exit code, and what it wrote to stdout and stderr."""
    with tempfile.TemporaryDirectory(prefix="saga-command-") as name:
        folder = Path(name)
        (folder / "in").write_text(stdin)
        job = {
            "argv": ["saga", *arguments],
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()),
            "folder": name,
        }
        reader, writer = await asyncio.open_unix_connection(await asyncio.to_thread(_zygote))
        writer.write(json.dumps(job).encode() + b"\n")
        try:
            code = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
        return int(code or _KILLED), (folder / "out").read_text(), (folder / "err").read_text()


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
    from importlib import import_module

    for module in _NEEDED:
        import_module(module)
    from saga.cli.main import main

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
    with connection.makefile("rb") as told:
        job = json.loads(told.readline())
    folder = Path(job["folder"])
    for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        opened = os.open(folder / name, flags | os.O_CREAT | (os.O_APPEND if number else 0), 0o600)
        os.dup2(opened, number)
        os.close(opened)
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
