"""The audit: every saga in the stream against the invariants, and the saga log against the stream.

It reads, and changes nothing. The facts of a saga are judged one by one as they come (`hear`), so the same
auditor follows a running system, or goes through a stream that is at rest.

A saga under way is no breach; one of which nothing has been heard for too long is. A saga whose start is no
longer in the stream (retention) is counted, not judged.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, AttemptFailed, Fact, FactKind, Recorded
from contracts.failure import InvalidContract
from contracts.subjects import SAGA_STEP
from events.bus import Bus
from events.database import Database
from events.definitions import Definitions
from events.read import StreamMessage, follow, last_sequence
from saga.invariants import Breach, Invariant, Story, end_breaches
from saga.log.tables import PositionRow, SagaRow, StepRow, table_of
from saga.state import SagaState, SagaStatus

_SAGA_FIELDS = ("status", "sequence", "started_at", "updated_at", "ended_at", "ended_sequence", "abort")
_STEP_FIELDS = (
    "status", "attempt", "opened", "started_at", "ended_at", "closed_at", "duration_ms", "failure", "sequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach, of one saga."""

    saga_id: str
    breach: Breach

    def as_dict(self) -> dict[str, str]:
        return {
            "saga_id": self.saga_id,
            "invariant": self.breach.invariant.value,
            "step": self.breach.step,
            "detail": self.breach.detail,
        }


@dataclass(slots=True)
class Audited:
    """One saga as far as it was heard. `silent_from`: until then there was, or will be, a reason to be silent.
    `at_log`: its state at the log's position.
    """

    definition: str
    story: Story
    silent_from: datetime
    violations: list[Violation] = field(default_factory=list)
    at_log: SagaState | None = None

    @property
    def state(self) -> SagaState:
        return self.story.state

    @property
    def at_rest(self) -> bool:
        return self.state.ended or self.state.status in (SagaStatus.WAITING, SagaStatus.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRows:
    """What the saga log says, from one consistent reading. `positions`: how far it knows each partition."""

    positions: Mapping[int, int]
    sagas: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(slots=True)
class Auditor:
    """Hears facts in stream order. `wanted` tells which sagas are judged; all, without it."""

    definitions: Callable[[str], SagaDefinition | None]
    wanted: Callable[[Fact], bool] | None = None
    log: LogRows | None = None
    sagas: dict[str, Audited] = field(default_factory=dict)
    facts: int = 0
    undecodable: int = 0
    cut_off: set[str] = field(default_factory=set)

    def hear(self, partition: int, message: StreamMessage) -> Audited | None:
        """Judge one more message; the saga it belongs to, if it is judged.

        Raises InvalidContract if the saga's definition is not known.
        """
        try:
            fact = Fact.decode(message.payload)
        except InvalidContract:
            self.undecodable += 1
            return None
        if self.wanted is not None and not self.wanted(fact):
            return None
        self.facts += 1
        saga = self.sagas.get(fact.sagaid) or self._begin(fact, message)
        if saga is None:
            return None
        if fact.definition != saga.definition:
            detail = f"stated {fact.kind} as {fact.definition}, and the saga is {saga.definition}"
            saga.violations.append(
                Violation(fact.sagaid, Breach(Invariant.ONE_DEFINITION, fact.key[0], detail))
            )
        saga.story, found = saga.story.then(Recorded(message.sequence, fact))
        saga.silent_from = max(message.stored_at, _promised(fact) or message.stored_at)
        saga.violations += [Violation(fact.sagaid, breach) for breach in found]
        if self.log is not None and message.sequence <= self.log.positions.get(partition, 0):
            saga.at_log = saga.story.state
        return saga

    def _begin(self, fact: Fact, message: StreamMessage) -> Audited | None:
        if fact.key != STARTED_KEY:
            self.cut_off.add(fact.sagaid)
            return None
        definition = self.definitions(fact.definition)
        if definition is None:
            raise InvalidContract(f"saga {fact.sagaid} is of {fact.definition}, which nobody has published")
        saga = Audited(fact.definition, Story.begin(definition), message.stored_at)
        self.sagas[fact.sagaid] = saga
        return saga

    def violations(self, *, started: Collection[str] = (), silent_since: datetime) -> list[Violation]:
        """Everything that is broken. `started`: sagas whose start was acknowledged. A saga that is under way
        and has had no reason to be silent since `silent_since` is stuck.
        """
        found = [violation for saga in self.sagas.values() for violation in saga.violations]
        for saga_id in sorted(set(started) - self.sagas.keys() - self.cut_off):
            detail = "its start was acknowledged, and it is not in the stream"
            found.append(Violation(saga_id, Breach(Invariant.NONE_LOST, SAGA_STEP, detail)))
        for saga_id, saga in self.sagas.items():
            if saga.silent_from <= silent_since:
                found += [Violation(saga_id, breach) for breach in end_breaches(saga.state)]
        if self.log is not None:
            found += log_violations(self.sagas, self.log)
        return found

    def by_status(self) -> dict[str, int]:
        """How many sagas there are of each status."""
        return dict(sorted(Counter(saga.state.status.value for saga in self.sagas.values()).items()))


def _promised(fact: Fact) -> datetime | None:
    """When a fact says that the next attempt will be."""
    if fact.kind != FactKind.ATTEMPT_FAILED:
        return None
    return AttemptFailed.model_validate(fact.data).not_before


def log_violations(sagas: Mapping[str, Audited], log: LogRows) -> Iterator[Violation]:
    """Where the log says otherwise than the stream, up to the fact that the log knows."""
    for saga_id, saga in sagas.items():
        if saga.at_log is None:
            continue
        row, steps = log.sagas.get(saga_id), log.steps.get(saga_id, {})
        if row is None:
            detail = f"the log has no row; the stream says {saga.at_log.status}"
            yield Violation(saga_id, Breach(Invariant.LOG_EQUALS_STREAM, SAGA_STEP, detail))
            continue
        for step, detail in state_differences(saga.at_log, row, steps):
            yield Violation(saga_id, Breach(Invariant.LOG_EQUALS_STREAM, step, detail))


def state_differences(
    state: SagaState, row: Mapping[str, Any], steps: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Where the log's rows of one saga say otherwise than its state: a step or `_saga`, and what is different."""
    yield from _differences(SAGA_STEP, _SAGA_FIELDS, row, state)
    for name, step in state.steps.items():
        if name in steps:
            yield from _differences(name, _STEP_FIELDS, steps[name], step)
        elif step.sequence:
            yield name, f"the log has no row; the stream says {step.status}"


def _differences(
    step: str, fields: Iterable[str], row: Mapping[str, Any], state: object
) -> Iterator[tuple[str, str]]:
    for name in fields:
        said, true = row[name], getattr(state, name)
        if said != true:
            yield step, f"the log says {name} {said!s}, the stream {true!s}"


async def read_log(database: Database) -> LogRows:
    """Everything the saga log says."""
    async with database.reading() as connection:
        positions = (await connection.execute(select(table_of(PositionRow)))).all()
        sagas = [dict(row._mapping) for row in await connection.execute(select(table_of(SagaRow)))]
        rows = [dict(row._mapping) for row in await connection.execute(select(table_of(StepRow)))]
    steps: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        steps.setdefault(row["saga_id"], {})[row["step"]] = row
    return LogRows(
        positions={row.partition: row.sequence for row in positions},
        sagas={row["saga_id"]: row for row in sagas},
        steps=steps,
    )


async def everything(bus: Bus) -> AsyncIterator[tuple[int, StreamMessage]]:
    """Every message that is in the streams now, with its partition, in order."""
    for partition in range(bus.settings.partitions):
        newest = await last_sequence(bus, partition)
        if not newest:
            continue
        async with aclosing(follow(bus, partition, 0)) as batches:
            async for batch in batches:
                for message in batch:
                    yield partition, message
                if batch[-1].sequence >= newest:
                    break


async def learn(definitions: Definitions, message: StreamMessage) -> None:
    """Make sure that the definition of a saga that starts is known."""
    if message.subject.rpartition(".")[0].endswith(".".join(STARTED_KEY)):
        try:
            await definitions.fetch(Fact.decode(message.payload).definition)
        except InvalidContract:
            return
