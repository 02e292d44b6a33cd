"""Processes in a moment: a parent that has imported everything forks a child for every process wanted.

A service imports for more than a second, so kills five times a second would only kill imports. The children
are real processes with their own argv, environment and output; they differ from `saga serve ...` in nothing
but the time they take to start. The parent kills its children and ends when its owner goes.

Run as a module it is that parent: it reads requests from stdin, and tells of starts and ends on stdout, as
JSON lines.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Child:
    """A process. `status` is its exit code, negative for a signal, or None while it lives."""

    pid: int
    status: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def stops(self, timeout_s: float) -> bool:
        """Wait until a signal has paused it; False if that does not happen in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.stopped.wait()
        return self.stopped.is_set()

    @property
    def alive(self) -> bool:
        return self.status is None

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False if the process has ended before."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


class Zygote:
    """Starts children. Use it as a context."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._asked: dict[int, asyncio.Future[Child]] = {}
        self._number = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.zygote", cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen(), name="zygote")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def spawn(
        self, entry: str, argv: Sequence[str], environment: Mapping[str, str], out: Path
    ) -> Child:
        """Start a process that runs `entry` (`module:function`); its output is appended to the file `out`."""
        assert self._process.stdin is not None
        self._number += 1
        asked: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._asked[self._number] = asked
        request = {
            "number": self._number, "entry": entry, "argv": list(argv),
            "environment": dict(environment), "out": str(out),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await asked

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told: dict[str, int] = json.loads(line)
            if "number" in told:
                child = self._children[told["pid"]] = Child(told["pid"])
                asked = self._asked.pop(told["number"])
                if asked.done():
                    # Whoever asked has gone meanwhile.
                    child.signal(signal.SIGKILL)
                else:
                    asked.set_result(child)
            elif "stopped" in told:
                self._children[told["pid"]].stopped.set()
            else:
                child = self._children.pop(told["pid"])
                child.status = told["status"]
                child.ended.set()
        for asked in self._asked.values():
            asked.set_exception(RuntimeError("the parent of all processes has ended"))


def main() -> None:
    """The parent: one thread, no event loop, nothing that a fork could break."""
    _import_everything()
    gc.freeze()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _serve(sys.stdin.buffer, reader)


def _serve(requests: IO[bytes], woken: int) -> None:
    children: set[int] = set()
    try:
        _answer(requests, woken, children)
    except BrokenPipeError:
        # The owner was killed: its children go with it.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until this process ends
    _end(children)


def _answer(requests: IO[bytes], woken: int, children: set[int]) -> None:
    import select

    pending = b""
    poll = select.poll()
    poll.register(requests.fileno(), select.POLLIN | select.POLLHUP)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
            _reap(children)
        if requests.fileno() in ready:
            read = os.read(requests.fileno(), 1 << 16)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                children.add(_fork(json.loads(line)))


def _reap(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            _tell(pid=pid, stopped=1)
            continue
        children.discard(pid)
        _tell(pid=pid, status=os.waitstatus_to_exitcode(status))


def _end(children: set[int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while children and time.monotonic() < until:
        _reap(children)
        time.sleep(0.01)


def _tell(**what: int) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _fork(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _tell(number=request["number"], pid=pid)
        return pid
    status = 1
    try:
        _become(request)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _become(request: dict[str, Any]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing, out = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    )
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.environ.update(request["environment"])
    sys.argv = ["saga", *request["argv"]]
    _entry(request["entry"])()


def _entry(entry: str) -> Callable[[], None]:
    from importlib import import_module

    module, _, function = entry.partition(":")
    found: Callable[[], None] = getattr(import_module(module), function)
    return found


def _import_everything() -> None:
    from importlib import import_module

    from saga.domains import domain_actions, domain_definitions

    for module in ("saga.cli.main", "saga.cli.system", "services.sandboxes.mobile_money", "uvloop"):
        import_module(module)
    for module in ("tests.faults.entries", "tests.faults.proxy"):
        import_module(module)
    domain_actions("payments")
    domain_definitions("payments")


if __name__ == "__main__":
    main()
