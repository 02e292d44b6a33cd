"""Expressions, schemas and transformations in a process of their own: killed when they take too long.

The process knows neither the network nor the environment of the service, and the system bounds its memory.
One call at a time; a process that died or was killed is replaced at the next call.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from saga.action import Refused

TIMEOUT_VARIABLE = "SAGA_EXPRESSION_TIMEOUT_S"
_TIMEOUT_S = 2.0
_START_TIMEOUT_S = 30.0
_LENGTH_BYTES = 4
_PROBE = {"function": "choose", "told": {"data": None, "branches": [{"name": "ready", "when": "true"}]}}


class Bounded:
    """Calls a function of `bounded_worker`, each for at most `timeout_s` seconds."""

    def __init__(self, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._process: Process | None = None

    async def call(self, function: str, **told: Any) -> Any:
        """Its result. Raises Refused: `expression.invalid`, or `expression.exhausted` (too long, too large)."""
        if "\\u0000" in json.dumps(told):
            # The engine of the expressions ends a name there, and would read another field.
            raise Refused("expression.invalid", "the data hold a character of code 0")
        async with self._turn:
            process = await self._ready()
            found = await self._asked(process, {"function": function, "told": told}, self._timeout_s)
        if "refused" in found:
            raise Refused("expression.invalid", found["refused"])
        if "exhausted" in found:
            raise Refused("expression.exhausted", f"it needs more {found['exhausted']} than it may have")
        return found["result"]

    async def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ready(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.integrations.bounded_worker", stdin=PIPE, stdout=PIPE,
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path) or os.curdir},
            )  # fmt: skip
            # The time to start is not the expression's.
            await self._asked(self._process, _PROBE, _START_TIMEOUT_S)
        return self._process

    async def _asked(self, process: Process, call: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the process was started with pipes")
        try:
            async with asyncio.timeout(timeout_s):
                given = json.dumps(call).encode()
                process.stdin.write(len(given).to_bytes(_LENGTH_BYTES) + given)
                await process.stdin.drain()
                length = await process.stdout.readexactly(_LENGTH_BYTES)
                found: dict[str, Any] = json.loads(await process.stdout.readexactly(int.from_bytes(length)))
                return found
        except TimeoutError as error:
            await self.close()
            raise Refused("expression.exhausted", f"it takes longer than {timeout_s} s") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await self.close()
            raise Refused("expression.exhausted", "it needs more memory than it may have") from error
        except BaseException:
            # Whoever calls next must not read the answer to this call.
            await self.close()
            raise


@asynccontextmanager
async def bounded(environment: Mapping[str, str]) -> AsyncIterator[Bounded]:
    """A bounded process, started at the first call. `SAGA_EXPRESSION_TIMEOUT_S` says how long a call may take."""
    opened = Bounded(float(environment.get(TIMEOUT_VARIABLE, _TIMEOUT_S)))
    try:
        yield opened
    finally:
        await opened.close()
