"""The projector: applies every fact to the log's tables, exactly once, in batches.

The position is kept in the log's own database, in one transaction with the rows: after a crash, rows and
position go back together, and the stream is read again from there. A fact that cannot be applied is put
aside with the reason, and the log goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Fact, FactKind, Recorded
from contracts.failure import InvalidContract
from contracts.subjects import SAGA_STEP, partition_of
from events.database import Database
from events.read import StreamMessage
from saga.log.tables import FactRow, PositionRow, RejectedRow, table_of
from saga.log.write import Batch, Followed, Statements, Unstorable, write
from saga.state import advance, initial

_MAX_LABEL = 64
_MAX_ENDED = 4096
log = structlog.get_logger(__name__)

APPLIED = Counter("saga_log_facts_total", "Facts applied to the log", ["partition"])
REJECTED = Counter("saga_log_rejected_total", "Messages the log could not apply", ["partition"])
POSITION = Gauge("saga_log_sequence", "Sequence of the last fact applied", ["partition"])

_OUTCOME_KEYS = {(SAGA_STEP, kind) for kind in (FactKind.COMPLETED, FactKind.COMPENSATED, FactKind.FAILED)}


NOT_APPLICABLE = (InvalidContract, KeyError, TypeError, ValueError)
"""What applying a message raises that no later try can apply as things are."""

type PutAside = Callable[[int, StreamMessage, Exception], Awaitable[None]]


class UnknownDefinition(InvalidContract):
    """A fact of a definition that has not been published."""


class KnowsDefinitions(Protocol):
    """Where definitions come from."""

    def get(self, ref: str) -> SagaDefinition | None: ...

    async def fetch(self, ref: str) -> SagaDefinition | None: ...


class Projector:
    """Applies facts to a log database. `apply` is all of it; `run` feeds it from the bus."""

    def __init__(
        self,
        database: Database,
        definitions: KnowsDefinitions,
        partitions: int = 1,
        *,
        put_aside: PutAside | None = None,
    ) -> None:
        self._put_aside = put_aside
        self._database = database
        self._definitions = definitions
        self._partitions = partitions
        self._statements = Statements(database.engine.dialect)
        self._following: dict[str, Followed] = {}
        self._ended: dict[str, Followed] = {}
        self._writing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self.positions: dict[int, int] = {}

    async def load_positions(self) -> dict[int, int]:
        """How far each partition has been applied."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table_of(PositionRow)))
            self.positions = {row.partition: row.sequence for row in rows}
        return self.positions

    async def apply(self, partition: int, messages: Sequence[StreamMessage]) -> list[str]:
        """Apply messages in stream order, all or none; the ids of the sagas that have ended with them.

        Messages at or before the partition's position are passed over. What the database cannot hold is put aside.
        """
        position = self.positions.get(partition, 0)
        fresh = [message for message in messages if message.sequence > position]
        if not fresh:
            return []
        async with self._writing:
            try:
                return await self._apply(partition, fresh)
            except Unstorable:
                return await self._apply_each(partition, fresh)

    async def _apply_each(self, partition: int, messages: list[StreamMessage]) -> list[str]:
        """As `_apply`, one by one, to put aside those that the database cannot hold."""
        ended = []
        for message in messages:
            try:
                ended += await self._apply(partition, [message])
            except Unstorable as error:
                batch = Batch()
                await self._reject(partition, message, error, batch)
                async with self._database.engine.begin() as connection:
                    await write(connection, self._statements, batch, partition, message.sequence)
                await self._applied(partition, message.sequence, batch)
        return ended

    async def _apply(self, partition: int, messages: list[StreamMessage]) -> list[str]:
        batch, newest = Batch(), messages[-1].sequence
        try:
            async with self._database.engine.begin() as connection:
                for message in messages:
                    await self._fold(connection, partition, message, batch)
                await write(connection, self._statements, batch, partition, newest)
        except BaseException:
            # What was folded in memory was not stored: fold it again from what is.
            self._following.clear()
            self._ended.clear()
            raise
        ended = [saga_id for saga_id, followed in batch.touched.items() if followed.state.ended]
        stated = set(batch.stated)
        self._forget(ended, stated)
        await self._applied(partition, newest, batch)
        return [saga_id for saga_id in ended if saga_id not in stated]

    def _forget(self, ended: Sequence[str], stated: Container[str]) -> None:
        """No longer keep what has ended in memory, but for its outcome, which will be stated soon."""
        for saga_id in ended:
            followed = self._following.pop(saga_id)
            if saga_id not in stated:
                self._ended[saga_id] = followed
        while len(self._ended) > _MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    async def _applied(self, partition: int, sequence: int, batch: Batch) -> None:
        self.positions[partition] = sequence
        APPLIED.labels(partition).inc(len(batch.facts))
        REJECTED.labels(partition).inc(len(batch.rejected))
        POSITION.labels(partition).set(sequence)
        async with self._changed:
            self._changed.notify_all()

    async def _fold(
        self, connection: AsyncConnection, partition: int, message: StreamMessage, batch: Batch
    ) -> None:
        try:
            fact = self._checked(partition, message.payload)
            followed = batch.touched.get(fact.sagaid) or await self._followed(connection, fact)
            followed.state = advance(followed.definition, followed.state, Recorded(message.sequence, fact))
        except NOT_APPLICABLE as error:
            await self._reject(partition, message, error, batch)
            return
        step = fact.key[0]
        batch.touched[fact.sagaid] = followed
        if step in followed.state.steps:
            batch.steps[fact.sagaid, step] = None
        elif fact.key == STARTED_KEY:
            batch.labels += _label_rows(fact)
        elif fact.key in _OUTCOME_KEYS:
            batch.stated.append(fact.sagaid)
        batch.facts.append(_fact_row(partition, message.sequence, fact, message.stored_at, message.payload))

    async def _reject(self, partition: int, message: StreamMessage, error: Exception, batch: Batch) -> None:
        if self._put_aside is not None:
            await self._put_aside(partition, message, error)
        reason = (str(error) or type(error).__name__).replace("\x00", "\N{REPLACEMENT CHARACTER}")
        log.error("log.rejected", partition=partition, sequence=message.sequence, reason=reason)
        batch.rejected.append(
            {
                "partition": partition,
                "sequence": message.sequence,
                "subject": message.subject,
                "reason": reason[:4096],
                "stored_at": message.stored_at,
            }
        )

    async def apply_again(self, partition: int, sequence: int, payload: bytes) -> list[str]:
        """Apply a message that was put aside: its saga is folded anew, with the fact in its place.

        The saga's id if it has ended; nothing if the message has been applied meanwhile. Raises one of
        NOT_APPLICABLE if it still cannot be applied.
        """
        fact = self._checked(partition, payload)
        definition = await self._definition_of(fact)
        rejected = table_of(RejectedRow)
        this = (rejected.c.partition == partition) & (rejected.c.sequence == sequence)
        async with self._writing:
            self._following.pop(fact.sagaid, None)
            self._ended.pop(fact.sagaid, None)
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(select(rejected).where(this))).first()
                if row is None:
                    return []
                await connection.execute(delete(rejected).where(this))
                facts = [*await stored_facts(connection, fact.sagaid), Recorded(sequence, fact)]
                followed = Followed(definition, initial(definition), fact)
                for recorded in sorted(facts, key=lambda one: one.sequence):
                    followed.state = advance(definition, followed.state, recorded)
                    if recorded.fact.key == STARTED_KEY:
                        followed.started = recorded.fact
                batch = Batch(
                    facts=[_fact_row(partition, sequence, fact, row.stored_at, payload)],
                    labels=_label_rows(fact) if fact.key == STARTED_KEY else [],
                    touched={fact.sagaid: followed},
                    steps={(fact.sagaid, step): None for step in followed.state.steps},
                )
                await write(connection, self._statements, batch, partition, self.positions[partition])
        async with self._changed:
            self._changed.notify_all()
        return [fact.sagaid] if followed.state.ended else []

    def _checked(self, partition: int, payload: bytes) -> Fact:
        fact = Fact.decode(payload)
        if partition_of(fact.sagaid, self._partitions) != partition:
            raise InvalidContract(f"saga {fact.sagaid} does not belong to partition {partition}")
        _require_storable(fact)
        return fact

    async def _definition_of(self, fact: Fact) -> SagaDefinition:
        definition = self._definitions.get(fact.definition) or await self._definitions.fetch(fact.definition)
        if definition is None:
            raise UnknownDefinition(f"no definition {fact.definition}")
        return definition

    async def _followed(self, connection: AsyncConnection, fact: Fact) -> Followed:
        followed = self._following.get(fact.sagaid)
        if followed is None:
            followed = self._ended.pop(fact.sagaid, None) or await self._take_up(connection, fact)
            self._following[fact.sagaid] = followed
        return followed

    async def _take_up(self, connection: AsyncConnection, fact: Fact) -> Followed:
        definition = await self._definition_of(fact)
        state, started = initial(definition), fact
        if fact.key != STARTED_KEY:
            for recorded in await stored_facts(connection, fact.sagaid):
                state = advance(definition, state, recorded)
                started = recorded.fact if recorded.fact.key == STARTED_KEY else started
        return Followed(definition, state, started)

    async def wait_beyond(self, partition: int, sequence: int) -> None:
        """Wait until a partition has been applied beyond a sequence."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.positions.get(partition, 0) > sequence)


def _fact_row(
    partition: int, sequence: int, fact: Fact, stored_at: datetime, payload: bytes
) -> dict[str, Any]:
    return {
        "partition": partition,
        "sequence": sequence,
        "saga_id": fact.sagaid,
        "step": fact.key[0],
        "kind": fact.key[1],
        "stored_at": stored_at,
        "envelope": payload.decode(),
    }


def _label_rows(fact: Fact) -> list[dict[str, Any]]:
    labels = fact.data.get("labels") or {}
    return [{"saga_id": fact.sagaid, "name": name, "value": str(value)} for name, value in labels.items()]


def _require_storable(fact: Fact) -> None:
    """Raises InvalidContract if a column of some database cannot hold what the fact says."""
    labels = (fact.data.get("labels") or {}) if fact.key == STARTED_KEY else {}
    if "\x00" in "".join((fact.correlationid, *labels, *map(str, labels.values()))):
        raise InvalidContract("a label or correlation id has a NUL character")
    if too_long := [name for name in labels if len(name) > _MAX_LABEL]:
        raise InvalidContract(f"label {too_long[0][:_MAX_LABEL]}... is longer than {_MAX_LABEL} characters")


async def stored_facts(connection: AsyncConnection, saga_id: str) -> list[Recorded]:
    """A saga's facts as the log holds them, in stream order."""
    facts = table_of(FactRow)
    query = (
        select(facts.c.sequence, facts.c.envelope)
        .where(facts.c.saga_id == saga_id)
        .order_by(facts.c.sequence)
    )
    return [
        Recorded(row.sequence, Fact.decode(row.envelope.encode())) for row in await connection.execute(query)
    ]
