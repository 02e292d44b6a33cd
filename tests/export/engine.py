"""An engine that executes a manifest as Argo does, by the very commands in it; pods are jobs of worker processes.

Only what exports use: DAGs, dependencies, `when`, `withParam`, `parallelism`, retries by expression, outputs from a
file, `onExit`. A pod's path for its output is a file of its own here, as in a container.
"""

import asyncio
import itertools
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r"\{\{([^{}]*)\}\}")
_FINAL = re.compile(r"asInt\(lastRetry\.exitCode\) != (\d+)")


class Pods:
    """Processes that run `saga` commands, one at a time each."""

    def __init__(self, processes: list[asyncio.subprocess.Process], environment: Mapping[str, str]) -> None:
        self._free: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
        for process in processes:
            self._free.put_nowait(process)
        self._environment = dict(environment)

    async def run(self, argv: list[str], environment: Mapping[str, str]) -> int:
        process = await self._free.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            job = {"argv": argv, "environment": {**self._environment, **environment}}
            process.stdin.write(json.dumps(job).encode() + b"\n")
            line = await process.stdout.readline()
            assert line, "a pod's process has died"
            return int(line)
        finally:
            self._free.put_nowait(process)


@asynccontextmanager
async def pods(count: int, environment: Mapping[str, str]) -> AsyncIterator[Pods]:
    """So many processes; what is given here wins over what a manifest says."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.export.pod",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(count)
    ]
    try:
        yield Pods(processes, environment)
    finally:
        for process in processes:
            process.kill()
            await process.wait()


class Failed(Exception):
    """A task has failed for good."""


@dataclass
class Engine:
    """`ran` names every template whose pod has run, in order of their ends."""

    manifest: dict[str, Any]
    pods: Pods
    folder: Path
    uid: str
    environment: Mapping[str, str]
    ran: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def run(self, **parameters: str) -> tuple[str, str]:
        """Execute it; what became of the entry point, and of the exit handler: Succeeded or Failed."""
        spec = self.manifest["spec"]
        known = {one["name"]: one["value"] for one in spec["arguments"]["parameters"]} | parameters
        scope = {f"workflow.parameters.{name}": value for name, value in known.items()}
        scope["workflow.uid"] = self.uid
        status = await self._status(spec["entrypoint"], scope)
        return status, await self._status(spec["onExit"], scope | {"workflow.status": status})

    async def _status(self, template: str, scope: dict[str, str]) -> str:
        try:
            await self._template(template, scope)
        except Failed:
            return "Failed"
        return "Succeeded"

    async def _template(self, name: str, scope: dict[str, str]) -> dict[str, str]:
        template = next(one for one in self.manifest["spec"]["templates"] if one["name"] == name)
        if "dag" in template:
            await self._dag(template, scope)
            return {}
        return await self._pod(template, scope)

    async def _dag(self, template: dict[str, Any], scope: dict[str, str]) -> None:
        tasks: dict[str, asyncio.Task[dict[str, str]]] = {}
        places = asyncio.Semaphore(template.get("parallelism", 100))
        failed = asyncio.Event()

        async def run(task: dict[str, Any]) -> dict[str, str]:
            here = dict(scope)
            for other in task.get("dependencies", []):
                await asyncio.wait([tasks[other]])
                if tasks[other].cancelled() or tasks[other].exception() is not None:
                    raise Failed(task["name"])
            for other, ended in tasks.items():
                if ended.done() and not ended.cancelled() and ended.exception() is None:
                    outputs = ended.result().items()
                    here |= {f"tasks.{other}.outputs.parameters.{name}": value for name, value in outputs}
            if failed.is_set():
                # failFast: what has not begun does not begin any more.
                raise Failed(task["name"])
            try:
                if "withParam" not in task:
                    return await self._task(task, here)
                items = json.loads(_filled(task["withParam"], here))
                told = [
                    {"item": json.dumps(item), **{f"item.{key}": str(value) for key, value in item.items()}}
                    for item in items
                ]
                await asyncio.gather(*(self._limited(places, task, here | item) for item in told))
            except Failed:
                failed.set()
                raise
            return {}

        for task in template["dag"]["tasks"]:
            tasks[task["name"]] = asyncio.create_task(run(task))
        ends = await asyncio.gather(*tasks.values(), return_exceptions=True)
        if wrong := next((end for end in ends if isinstance(end, BaseException)), None):
            raise wrong

    async def _limited(self, places: asyncio.Semaphore, task: dict[str, Any], scope: dict[str, str]) -> None:
        async with places:
            await self._task(task, scope)

    async def _task(self, task: dict[str, Any], scope: dict[str, str]) -> dict[str, str]:
        if "when" in task:
            left, _, right = _filled(task["when"], scope).partition(" == ")
            if left != right:
                return {}
        given = task.get("arguments", {}).get("parameters", [])
        inputs = {f"inputs.parameters.{one['name']}": _filled(one["value"], scope) for one in given}
        outside = {name: value for name, value in scope.items() if name.startswith("workflow.")}
        return await self._template(task["template"], outside | inputs)

    async def _pod(self, template: dict[str, Any], scope: dict[str, str]) -> dict[str, str]:
        container, strategy = template["container"], template["retryStrategy"]
        outputs = template.get("outputs", {}).get("parameters", [])
        out = self.folder / f"out-{next(self._numbers)}"
        paths = {one["valueFrom"]["path"]: str(out) for one in outputs}
        argv = [_filled(paths.get(word, word), scope) for word in (*container["command"], *container["args"])]
        environment = {one["name"]: _filled(one["value"], scope) for one in container["env"]}
        final = {int(code) for code in _FINAL.findall(strategy["expression"])}
        for _ in range(int(strategy["limit"]) + 1):
            code = await self.pods.run(argv, {**environment, **self.environment})
            self.ran.append(template["name"])
            if code == 0:
                return {one["name"]: out.read_text() for one in outputs}
            if code in final:
                break
        raise Failed(template["name"])


def _filled(text: str, scope: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: scope[match[1].strip()], text)
