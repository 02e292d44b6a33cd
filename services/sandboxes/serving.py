"""Serving a sandbox as a command: its base URL on stdout, until SIGINT or SIGTERM."""

import asyncio
import signal
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

type Serve = Callable[[Sequence[Path], str, int], AbstractAsyncContextManager[str]]
"""Serves with these files on a host and a port; gives the base URL"""


def main(name: str, port: int, serve: Serve, *, files: Sequence[str] = ()) -> None:
    """Serve what the command line says."""
    parser = ArgumentParser(prog=name)
    for file in files:
        parser.add_argument(file, type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port, help="0: a free one")
    given = parser.parse_args()
    asyncio.run(_until_stopped(serve([getattr(given, file) for file in files], given.host, given.port)))


async def _until_stopped(serving: AbstractAsyncContextManager[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving as url:
        print(url, flush=True)
        await stop.wait()
