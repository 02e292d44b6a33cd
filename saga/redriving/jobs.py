"""Jobs that redrive many sagas: made, looked at, cancelled. Whoever works on them is in `saga.redriving.runner`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from contracts.failure import Conflict, InvalidContract, NotFound, Stale
from contracts.ids import new_saga_id
from contracts.redrives import FailedSagas, JobState, RedriveJob, RedriveManner
from contracts.subjects import valid_token
from events.bus import Bus
from events.clock import Clock, utc_now
from events.records import Kept, RecordBucket
from saga.log.queries import Filter, Queries
from saga.redriving.plan import Plan
from saga.redriving.restart import Redriver, Wanted

_TRIES = 20
SAMPLE = 50

type KeptJob = Kept[RedriveJob]


def bucket_of(bus: Bus) -> RecordBucket[RedriveJob]:
    """The jobs by id."""
    return RecordBucket(bus, bus.names.redrives, RedriveJob.decode, "job")


def filter_of(sagas: FailedSagas) -> Filter:
    """The log's filter for the sagas that are meant."""
    name, _, version = sagas.definition.partition("@")
    return Filter(
        status=sagas.status,
        without_children=True,
        name=name,
        version=version or None,
        started_after=sagas.started_after,
        started_before=sagas.started_before,
        labels=tuple((label.partition(":")[0], label.partition(":")[2]) for label in sagas.label),
        failure_code=sagas.failure_code,
        failure_step=sagas.failure_step,
    )


def wanted_of(manner: RedriveManner) -> Wanted:
    """How one saga of a job is redriven."""
    return Wanted(from_steps=manner.from_steps, edit=manner.edit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a job would do: how many sagas are `matched`; of the newest of them the plan, or why it is refused."""

    matched: int
    plans: Sequence[Plan]
    refused: dict[str, str]


class Jobs:
    """The jobs of a bus, over the log that knows which sagas are meant."""

    def __init__(self, bus: Bus, redriver: Redriver, queries: Queries, clock: Clock = utc_now) -> None:
        self._bucket = bucket_of(bus)
        self._redriver = redriver
        self._queries = queries
        self._clock = clock

    async def rehearse(self, sagas: FailedSagas, manner: RedriveManner) -> Rehearsed:
        """What a job would do now; nothing is stated."""
        wanted, plans, refused = filter_of(sagas), list[Plan](), dict[str, str]()
        page = await self._queries.page(wanted, limit=SAMPLE)
        for row in page.items:
            try:
                plans.append(await self._redriver.plan(row["saga_id"], wanted_of(manner)))
            except (Conflict, NotFound, InvalidContract) as error:
                refused[row["saga_id"]] = str(error)
        return Rehearsed(matched=await self._queries.count(wanted), plans=plans, refused=refused)

    async def create(
        self, sagas: FailedSagas, manner: RedriveManner, *, rate_per_s: float, by: str, reason: str
    ) -> RedriveJob:
        """A job that begins at once. It means the sagas that had started before it: its redrives are not among them."""
        now = self._clock()
        before = min(sagas.started_before, now) if sagas.started_before else now
        meant = sagas.model_copy(update={"started_before": before})
        job = RedriveJob(
            id=new_saga_id(),
            sagas=meant,
            manner=manner,
            rate_per_s=rate_per_s,
            by=by,
            reason=reason,
            created_at=now,
            updated_at=now,
            matched=await self._queries.count(filter_of(meant)),
        )
        return (await self._bucket.write(job.id, job, 0)).record

    async def get(self, job_id: str) -> RedriveJob:
        """A job as it is on the server. Raises NotFound, InvalidContract (no id of a job)."""
        return (await self._read(job_id)).record

    async def all(self) -> list[RedriveJob]:
        """Every job, the newest first. Raises ReadFailed."""
        return sorted(
            (kept.record for kept in await self._bucket.all()), key=lambda job: job.id, reverse=True
        )

    async def cancel(self, job_id: str) -> RedriveJob:
        """Redrive no more; what was redriven goes on. Raises NotFound, Conflict (it has ended)."""
        for _ in range(_TRIES):
            kept = await self._read(job_id)
            if kept.record.state is not JobState.RUNNING:
                raise Conflict(f"job {job_id} is {kept.record.state} already")
            now = self._clock()
            ended = {"state": JobState.CANCELLED, "ended_at": now, "updated_at": now}
            with suppress(Stale):
                kept = await self._bucket.write(job_id, kept.record.model_copy(update=ended), kept.revision)
                return kept.record
        raise Conflict(f"job {job_id} changes too fast to be cancelled: try again")

    async def _read(self, job_id: str) -> KeptJob:
        kept = await self._bucket.read(valid_token(job_id, "job id"))
        if kept is None:
            raise NotFound(f"no job {job_id}")
        return kept
