"""Many failed sagas redriven by a job that outlives every process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.definition import SagaDefinition
from contracts.facts import Redriven
from contracts.failure import Conflict, NotFound
from contracts.redrives import FailedSagas, JobState, RedriveJob, RedriveManner
from events.clock import utc_now
from events.database import Database
from saga.action import ActionContext, Refused
from saga.client import StartOptions
from saga.log.queries import Queries
from saga.log.service import LogService
from saga.log.store import open_log
from saga.redriving.jobs import Jobs, bucket_of, filter_of, wanted_of
from saga.redriving.plan import redrive_id
from saga.redriving.restart import Redriver
from saga.redriving.runner import RedriveRunner
from saga.state import SagaStatus
from tests.saga.small import step
from tests.world import Number, Running, World

ONE = SagaDefinition(name="one", steps=(step("a"),))
OTHER = SagaDefinition(name="other", steps=(step("a"),))
MANNER = RedriveManner()
COUNT = 7


@pytest.fixture
async def log(running: Running, data: Path) -> AsyncIterator[Database]:
    async with open_log(f"sqlite+aiosqlite:///{data / 'log.db'}") as database:
        async with LogService(running.bus, database, running.definitions):
            yield database


@pytest.fixture
def queries(log: Database) -> Queries:
    return Queries(log)


@pytest.fixture
def redriver(running: Running) -> Redriver:
    return Redriver(running.bus, running.definitions)


@pytest.fixture
def jobs(running: Running, redriver: Redriver, queries: Queries) -> Jobs:
    return Jobs(running.bus, redriver, queries)


class Mended:
    """Fails for every saga until it is mended; with `code` by the saga's input."""

    def __init__(self) -> None:
        self.mended = False

    async def __call__(self, ctx: ActionContext, command: Number) -> Number:
        if not self.mended:
            raise Refused("test.odd" if command.value % 2 else "test.even", "not yet")
        return command


@pytest.fixture
async def failed(running: Running, world: World, queries: Queries) -> AsyncIterator[Mended]:
    """Sagas of `one` that have failed, of which the log knows, and one of another definition."""
    behaviour = world.behaviours["a"] = Mended()
    await running.publish(ONE)
    await running.publish(OTHER)
    async with running.serving(world.action("a", compensable=False)):
        for value in range(COUNT):
            await running.start(ONE, value=value)
        await running.start(OTHER, value=0)
        await counted(queries, SagaStatus.COMPENSATED, COUNT + 1)
        yield behaviour


async def counted(queries: Queries, status: SagaStatus, count: int) -> None:
    async with asyncio.timeout(20):
        while sum(one.by_status.get(status, 0) for one in await queries.statistics()) < count:
            await asyncio.sleep(0.02)


async def over(jobs: Jobs, job: RedriveJob) -> RedriveJob:
    async with asyncio.timeout(20):
        while (found := await jobs.get(job.id)).state is JobState.RUNNING:
            await asyncio.sleep(0.02)
    return found


async def made(jobs: Jobs, rate_per_s: float = 1000, **meant: object) -> RedriveJob:
    sagas = FailedSagas.model_validate({"definition": "one", **meant})
    return await jobs.create(sagas, MANNER, rate_per_s=rate_per_s, by="ada", reason="mended")


async def test_a_job_redrives_every_saga_that_is_meant_once(
    running: Running, failed: Mended, jobs: Jobs, redriver: Redriver, queries: Queries, world: World
) -> None:
    rehearsed = await jobs.rehearse(FailedSagas(definition="one"), MANNER)
    assert (rehearsed.matched, len(rehearsed.plans), rehearsed.refused) == (COUNT, COUNT, {})
    failed.mended = True
    async with RedriveRunner(running.bus, redriver, queries):
        job = await over(jobs, await made(jobs))
        again = await over(jobs, await made(jobs))
    assert (job.matched, job.redriven, job.refused, job.state) == (COUNT, COUNT, 0, JobState.DONE)
    assert (again.redriven, again.refused) == (0, COUNT)
    assert "was redriven before" in again.refusals[0].detail
    await counted(queries, SagaStatus.COMPLETED, COUNT)
    assert world.times("do a") == COUNT + 1 + COUNT
    assert [one.id for one in await jobs.all()] == [again.id, job.id]


async def test_a_filter_chooses_by_what_has_failed(
    running: Running, failed: Mended, jobs: Jobs, queries: Queries
) -> None:
    async def matched(**meant: object) -> int:
        sagas = FailedSagas.model_validate({"definition": "one", **meant})
        return (await jobs.rehearse(sagas, MANNER)).matched

    assert await matched(failure_code="test.odd") == COUNT // 2
    assert await matched(failure_code="test.even", failure_step="a") == COUNT - COUNT // 2
    assert await matched(failure_code="test.odd", failure_step="b") == 0
    assert await matched(status=["failed"]) == 0
    assert await matched(started_after=utc_now()) == 0
    assert await matched(definition="one@1") == COUNT
    assert await matched(definition="one@2") == 0


async def test_what_a_job_redrives_and_fails_again_is_not_redriven_by_it(
    running: Running, failed: Mended, jobs: Jobs, redriver: Redriver, queries: Queries
) -> None:
    async with RedriveRunner(running.bus, redriver, queries):
        first = await over(jobs, await made(jobs))
        await counted(queries, SagaStatus.COMPENSATED, 2 * COUNT + 1)
        second = await over(jobs, await made(jobs))
    assert (first.redriven, second.matched) == (COUNT, 2 * COUNT)
    # The sagas that were there first have been redriven; their redrives have failed, and are redriven in turn.
    assert (second.redriven, second.refused) == (COUNT, COUNT)


async def test_a_job_goes_on_where_a_process_that_was_killed_has_left_it(
    running: Running, failed: Mended, jobs: Jobs, redriver: Redriver, queries: Queries
) -> None:
    failed.mended = True
    job = await made(jobs)
    for row in (await queries.page(filter_of(job.sagas), limit=3)).items:
        words = Redriven(by=job.by, reason=job.reason, job=job.id)
        await redriver.redrive(row["saga_id"], wanted_of(job.manner), words)
    bucket = bucket_of(running.bus)
    kept = await bucket.read(job.id)
    assert kept is not None
    until = utc_now() + timedelta(seconds=0.5)
    lease = {"worker": "killed", "leased_until": until}
    await bucket.write(job.id, job.model_copy(update=lease), kept.revision)
    async with RedriveRunner(running.bus, redriver, queries):
        done = await over(jobs, job)
    assert (done.redriven, done.refused) == (COUNT, 0)
    assert done.ended_at is not None
    assert done.ended_at >= until


async def test_two_processes_share_the_jobs_and_redrive_nothing_twice(
    running: Running, failed: Mended, jobs: Jobs, redriver: Redriver, queries: Queries, world: World
) -> None:
    failed.mended = True
    async with (
        RedriveRunner(running.bus, redriver, queries),
        RedriveRunner(running.bus, Redriver(running.bus, running.definitions), queries),
    ):
        both = [await made(jobs, rate_per_s=50) for _ in range(2)]
        done = [await over(jobs, job) for job in both]
    assert sum(one.redriven for one in done) == COUNT
    await counted(queries, SagaStatus.COMPLETED, COUNT)
    assert world.times("do a") == COUNT + 1 + COUNT


async def test_a_cancelled_job_redrives_no_more(
    running: Running, failed: Mended, jobs: Jobs, redriver: Redriver, queries: Queries
) -> None:
    failed.mended = True
    job = await made(jobs, rate_per_s=2)
    async with RedriveRunner(running.bus, redriver, queries):
        async with asyncio.timeout(20):
            while not (await jobs.get(job.id)).redriven:
                await asyncio.sleep(0.02)
        await jobs.cancel(job.id)
        later = await over(jobs, await made(jobs))
    cancelled = await jobs.get(job.id)
    assert cancelled.state is JobState.CANCELLED
    assert 0 < cancelled.redriven < COUNT
    assert later.redriven <= COUNT - cancelled.redriven
    await counted(queries, SagaStatus.COMPLETED, COUNT)
    with pytest.raises(Conflict, match="is cancelled already"):
        await jobs.cancel(job.id)
    with pytest.raises(NotFound, match="no job"):
        await jobs.get("unknown")


async def test_one_that_cannot_be_redriven_does_not_hold_up_the_others(
    running: Running, failed: Mended, jobs: Jobs, redriver: Redriver, queries: Queries
) -> None:
    failed.mended = True
    page = await queries.page(filter_of((await made(jobs)).sagas), limit=1)
    one = page.items[0]["saga_id"]
    await running.client.start("one@1", {"value": 1}, StartOptions(saga_id=redrive_id(one)))
    async with RedriveRunner(running.bus, redriver, queries):
        done = await over(jobs, (await jobs.all())[0])
    assert (done.redriven, done.refused) == (COUNT - 1, 1)
    assert done.refusals[0].saga_id == one
