"""One run: a fault strikes while payments are started, then everything heals and must come to rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

from tests.faults.cluster import Cluster, clustered, linked
from tests.faults.ground import standing
from tests.faults.load import Load
from tests.faults.nemeses import Fault, Field
from tests.faults.verdict import Verdict, judge
from tests.faults.zygote import Zygote

QUIET_S = 40.0
"""So long without any fact, and what is not at rest is stuck."""
_STRUCK_UNTIL = 0.9
_OUTCOMES = ("completed", "compensated", "failed")


class NotProved(AssertionError):
    """The run says nothing about the fault: it did not strike, or too few sagas succeeded."""


async def run_fault(fault: Fault, sagas: int, seed: int, folder: Path, zygote: Zygote) -> Verdict:
    """The verdict on a fault. Raises NotProved if it did not strike or too few sagas completed."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(_cluster(fault, folder, zygote)) if fault.cluster else None
        ground = await stack.enter_async_context(
            standing(
                folder, zygote, cluster=cluster, replicas=fault.replicas, with_log=not fault.log_at_the_end,
                drop=fault.proxy, seed=seed,
            )
        )  # fmt: skip
        load = Load(ground, seed, twice=fault.twice)
        await stack.enter_async_context(load.following())
        field = Field(ground, load, Random(seed))
        async with _striking(fault, field):
            await load.start(sagas)
            await load.until(lambda: load.at_rest >= _STRUCK_UNTIL * sagas, quiet_s=QUIET_S)
        await load.all_at_rest(quiet_s=QUIET_S)
        if fault.log_at_the_end:
            ground.keep_log()
        await load.until(lambda: outcomes_stated(load), quiet_s=QUIET_S)
        field.struck.update(await ground.dropped())
        field.struck["resent"] += load.resent
        verdict = await judge(ground, load, +field.struck)
    require_proof(fault, verdict)
    return verdict


@asynccontextmanager
async def _cluster(fault: Fault, folder: Path, zygote: Zygote) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(linked()) if fault.linked else None
        yield await stack.enter_async_context(clustered(folder / "nodes", zygote, link=link))


@asynccontextmanager
async def _striking(fault: Fault, field: Field) -> AsyncIterator[None]:
    task = asyncio.ensure_future(fault.strike(field))
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def outcomes_stated(load: Load) -> bool:
    """Whether the log has said how each saga that has ended did so: then it knows them all."""
    return all(
        any(("_saga", kind) in saga.story.said for kind in _OUTCOMES)
        for saga in load.auditor.sagas.values()
        if saga.state.ended
    )


def require_proof(fault: Fault, verdict: Verdict) -> None:
    """Raises NotProved unless the fault struck and enough sagas completed."""
    missing = [what for what in fault.demands if not verdict.struck.get(what)]
    if missing:
        raise NotProved(f"{fault.name}: no {', no '.join(missing)}: the fault did not strike")
    if verdict.completed < fault.floor * verdict.sagas:
        raise NotProved(
            f"{fault.name}: only {verdict.completed} of {verdict.sagas} sagas completed, "
            f"at least {fault.floor:.0%} must"
        )
