"""The saga log as a process: it listens to everything, and nothing waits for it.

While it lags less than a few seconds it works a third of the time at most: the flow has the first claim on the
machine. When a saga has ended the log states the outcome it has recorded, and disarms the timers the saga has left.
Timers it does not disarm, because it is away, fire in vain.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from sqlalchemy import and_, or_, select
from sqlalchemy.exc import SQLAlchemyError

from contracts.facts import FactKind, SagaOutcome, state_fact
from contracts.ids import fact_id
from contracts.subjects import SAGA_STEP
from events import timers
from events.bus import Bus
from events.clock import Clock, monotonic, utc_now
from events.database import Database
from events.publish import Fenced, Outgoing, PublishFailed, outgoing
from events.read import ReadFailed, follow, last_sequence
from saga.log.aside import Redriven, put_aside
from saga.log.breakers import BreakerLog
from saga.log.project import KnowsDefinitions, Projector
from saga.log.tables import FactRow, SagaRow, table_of
from saga.state import ENDED, SagaStatus

log = structlog.get_logger(__name__)

_MAX_BATCH = 1000
_MAY_LAG_S = 5.0
_STEP_BACK = 2
_MAX_OUTCOME_BATCH = 100
_RETRY_S = 1.0
_OUTCOMES = {
    SagaStatus.COMPLETED: FactKind.COMPLETED,
    SagaStatus.COMPENSATED: FactKind.COMPENSATED,
    SagaStatus.FAILED: FactKind.FAILED,
}


class LogService:
    """The saga log as a process: follows every partition, applies, and states outcomes."""

    def __init__(
        self, bus: Bus, database: Database, definitions: KnowsDefinitions, clock: Clock = utc_now
    ) -> None:
        self._bus = bus
        self._database = database
        self._definitions = definitions
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self.projector = Projector(
            database, definitions, bus.settings.partitions, put_aside=partial(put_aside, bus)
        )
        self.breakers = BreakerLog(bus, database)
        self._redriven = Redriven(bus, self.projector, self._state_outcomes, clock)

    async def __aenter__(self) -> "LogService":
        await self.projector.load_positions()
        await self._state_missing_outcomes()
        for partition in range(self._bus.settings.partitions):
            task = asyncio.create_task(self._follow(partition), name=f"saga log {partition}")
            self._tasks.append(task)
        await self._redriven.__aenter__()
        await self.breakers.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.breakers.__aexit__()
        await self._redriven.__aexit__()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    @property
    def alive(self) -> bool:
        return self.breakers.alive and all(not task.done() for task in self._tasks)

    async def lag(self) -> int:
        """How many messages have not been applied yet, over all partitions."""
        return sum(
            [
                await last_sequence(self._bus, partition) - self.projector.positions.get(partition, 0)
                for partition in range(self._bus.settings.partitions)
            ]
        )

    async def caught_up(self) -> None:
        """Wait until everything that is in the stream now has been applied."""
        for partition in range(self._bus.settings.partitions):
            newest = await last_sequence(self._bus, partition)
            if newest:
                await self.projector.wait_beyond(partition, newest - 1)

    async def _follow(self, partition: int) -> None:
        while True:
            try:
                after = self.projector.positions.get(partition, 0)
                async for messages in follow(self._bus, partition, after, max_batch=_MAX_BATCH):
                    begun = monotonic()
                    ended = await self.projector.apply(partition, messages)
                    if ended:
                        await self._state_outcomes(partition, ended)
                    if (self._clock() - messages[-1].stored_at).total_seconds() < _MAY_LAG_S:
                        await asyncio.sleep(_STEP_BACK * (monotonic() - begun))
            except (SQLAlchemyError, OSError) as error:
                log.error("log.database_failed", partition=partition, error=str(error), again_in_s=_RETRY_S)
            except (PublishFailed, ReadFailed) as error:
                log.warning("log.bus_failed", partition=partition, error=str(error), again_in_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _state_missing_outcomes(self) -> None:
        sagas = table_of(SagaRow)
        query = select(sagas.c.partition, sagas.c.saga_id).where(
            sagas.c.status.in_([status.value for status in ENDED]), sagas.c.outcome_stated.is_(False)
        )
        async with self._database.reading() as connection:
            missing = (await connection.execute(query)).all()
        for partition in {row.partition for row in missing}:
            await self._state_outcomes(
                partition, [row.saga_id for row in missing if row.partition == partition]
            )

    async def _state_outcomes(self, partition: int, saga_ids: Sequence[str]) -> None:
        for start in range(0, len(saga_ids), _MAX_OUTCOME_BATCH):
            rows = await self._rows(saga_ids[start : start + _MAX_OUTCOME_BATCH])
            messages = [self._outcome(row) for row in rows]
            try:
                await self._bus.publisher.batch(messages)
            except Fenced:
                # One of them was stated before: the others are stated one by one.
                for message in messages:
                    await self._bus.publisher.send(message.subject, message.payload, message.headers)
            except PublishFailed as error:
                log.warning("log.outcomes_not_stated", partition=partition, error=str(error))
            await self._disarm(rows)

    async def _rows(self, saga_ids: Sequence[str]) -> Sequence[Any]:
        sagas = table_of(SagaRow)
        async with self._database.reading() as connection:
            return (await connection.execute(select(sagas).where(sagas.c.saga_id.in_(saga_ids)))).all()

    async def _disarm(self, rows: Sequence[Any]) -> None:
        """Forget the timers that these sagas may have left: of a deadline, of a step that waited."""
        wanted = {row.saga_id for row in rows if self._has_deadline(row)} | await self._timed(rows)
        for saga_id in wanted:
            try:
                await timers.disarm(self._bus, saga_id)
            except PublishFailed as error:
                log.warning("log.timers_not_disarmed", saga_id=saga_id, error=str(error))

    def _has_deadline(self, row: Any) -> bool:
        definition = self._definitions.get(f"{row.name}@{row.version}")
        return definition is not None and definition.deadline_s is not None

    async def _timed(self, rows: Sequence[Any]) -> set[str]:
        """Those that have rested, or were started with a deadline of their own."""
        facts = table_of(FactRow)
        own_deadline = and_(
            facts.c.step == SAGA_STEP,
            facts.c.kind == FactKind.STARTED.value,
            facts.c.envelope.contains('"deadline_s":'),
        )
        query = select(facts.c.saga_id).where(
            facts.c.saga_id.in_([row.saga_id for row in rows]),
            or_(facts.c.kind.in_([FactKind.SUSPENDED.value, FactKind.ATTEMPT_FAILED.value]), own_deadline),
        )
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())

    def _outcome(self, row: Any) -> Outgoing:
        kind = _OUTCOMES[SagaStatus(row.status)]
        fact = state_fact(
            about=None,
            definition=f"{row.name}@{row.version}",
            saga_id=row.saga_id,
            step=SAGA_STEP,
            kind=kind,
            data=SagaOutcome(sequence=row.ended_sequence, duration_ms=row.duration_ms or 0.0),
            source="/saga-log",
            time=self._clock(),
            fact_id=fact_id(row.saga_id, SAGA_STEP, kind),
            correlation_id=row.correlation_id,
        )
        return outgoing(self._bus.subjects.fact(row.name, SAGA_STEP, kind, row.saga_id), fact)
