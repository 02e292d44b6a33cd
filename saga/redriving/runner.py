"""What works on jobs of redrives: beside any saga log, one process at a time for each job.

Where a job stands is on the bus, and a saga is redriven once, however often it is asked for. So a process that is
killed loses nothing: its lease ends, and another goes on from the last page that was written down.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

import structlog

from contracts.facts import Redriven
from contracts.failure import Conflict, InvalidContract, NotFound, SagaError, Stale
from contracts.ids import new_saga_id
from contracts.redrives import MAX_REFUSALS, JobState, RedriveJob, Refusal
from events.bus import Bus
from events.clock import Clock, monotonic, utc_now
from events.records import Known
from saga.log.queries import Queries
from saga.redriving.jobs import KeptJob, bucket_of, filter_of, wanted_of
from saga.redriving.restart import Redriver

log = structlog.get_logger(__name__)

_LEASE_S = 15.0
_LOOK_S = 2.0
_TRY_AGAIN_S = 1.0
_MAX_PAGE = 50


@dataclass(slots=True)
class _Outcome:
    redriven: int = 0
    refused: list[Refusal] = field(default_factory=list)


class RedriveRunner:
    """Works on jobs while its context is open."""

    def __init__(self, bus: Bus, redriver: Redriver, queries: Queries, clock: Clock = utc_now) -> None:
        self._bucket = bucket_of(bus)
        self._redriver = redriver
        self._queries = queries
        self._clock = clock
        self._name = new_saga_id()
        self._known = Known(self._bucket, lambda job: job.id)
        self._next_at = 0.0
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._known.following())
            working = asyncio.create_task(self._work(), name="redrives")
            stack.push_async_callback(_ended, working)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()
        for kept in self._known.all():
            if kept.record.worker == self._name and kept.record.state is JobState.RUNNING:
                # Another may go on at once.
                with suppress(SagaError):
                    await self._write(kept, {"leased_until": None})

    async def _work(self) -> None:
        while True:
            kept = self._free()
            if kept is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._known.changed.wait(), _LOOK_S)
                self._known.changed.clear()
                continue
            try:
                await self._run(kept)
            except Stale:
                # Cancelled, or taken by another: see what it is now.
                await self._look_again(kept.record.id)
            except SagaError as error:
                log.warning("redrives.again", job=kept.record.id, reason=str(error))
                await asyncio.sleep(_TRY_AGAIN_S)
                await self._look_again(kept.record.id)
            except Exception:
                # The log's database, for one, may be away: a job is never given up but by a person.
                log.exception("redrives.again", job=kept.record.id)
                await asyncio.sleep(_TRY_AGAIN_S)

    def _free(self) -> KeptJob | None:
        """The oldest job under way that nobody else has in hand."""
        now = self._clock()
        for kept in self._known.all():
            job = kept.record
            mine = job.worker == self._name or job.leased_until is None or job.leased_until < now
            if job.state is JobState.RUNNING and mine:
                return kept
        return None

    async def _look_again(self, job_id: str) -> None:
        with suppress(SagaError):
            if kept := await self._bucket.read(job_id):
                self._known.learn(kept)

    async def _run(self, kept: KeptJob) -> None:
        kept = await self._write(kept, {})
        while kept.record.state is JobState.RUNNING:
            kept = await self._page(kept)
        log.info(
            "redrives.done", job=kept.record.id, redriven=kept.record.redriven, refused=kept.record.refused
        )

    async def _page(self, kept: KeptJob) -> KeptJob:
        job = kept.record
        wanted, limit = filter_of(job.sagas), _page_of(job)
        page = await self._queries.page(wanted, limit=limit, cursor=job.cursor)
        outcome = await self._redrive_all(job, page.items)
        over = page.next_cursor is None
        changes: dict[str, Any] = {
            "redriven": job.redriven + outcome.redriven,
            "refused": job.refused + len(outcome.refused),
            "refusals": (*job.refusals, *outcome.refused)[-MAX_REFUSALS:],
            "cursor": page.next_cursor,
        }
        if over:
            changes |= {"state": JobState.DONE, "ended_at": self._clock()}
        return await self._write(kept, changes)

    async def _redrive_all(self, job: RedriveJob, rows: Sequence[dict[str, Any]]) -> _Outcome:
        words = Redriven(by=job.by, reason=job.reason, job=job.id)
        outcome = _Outcome()
        for row in rows:
            await self._pace(job.rate_per_s)
            saga_id = row["saga_id"]
            try:
                done = await self._redriver.redrive(saga_id, wanted_of(job.manner), words)
            except (Conflict, InvalidContract, NotFound) as error:
                outcome.refused.append(Refusal(saga_id=saga_id, detail=str(error)))
                continue
            if done.created or await self._redriver.job_of(saga_id) == job.id:
                outcome.redriven += 1
            else:
                detail = f"it was redriven before, as saga {done.plan.new_id}"
                outcome.refused.append(Refusal(saga_id=saga_id, detail=detail))
        return outcome

    async def _pace(self, rate_per_s: float) -> None:
        now = monotonic()
        await asyncio.sleep(max(0.0, self._next_at - now))
        self._next_at = max(now, self._next_at) + 1 / rate_per_s

    async def _write(self, kept: KeptJob, changes: dict[str, Any]) -> KeptJob:
        job, now = kept.record, self._clock()
        lease = timedelta(seconds=_LEASE_S + _page_of(job) / job.rate_per_s)
        said = {"worker": self._name, "leased_until": now + lease, "updated_at": now}
        written = await self._bucket.write(job.id, job.model_copy(update=said | changes), kept.revision)
        self._known.learn(written)
        return written


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _page_of(job: RedriveJob) -> int:
    """About what is redriven in a second: so soon a cancel is heard, and progress is told."""
    return max(1, min(_MAX_PAGE, int(job.rate_per_s)))
