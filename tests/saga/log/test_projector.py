"""The projector applies every fact exactly once, whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from contracts.definition import SagaDefinition, Step
from contracts.facts import Fact, FactKind, Recorded
from contracts.ids import fact_id
from events.database import Database
from events.read import StreamMessage
from saga.log.project import Projector
from saga.log.queries import Filter, Queries
from saga.log.store import open_log
from saga.log.tables import LogTable
from saga.log.write import Unstorable
from saga.state import fold

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITION = SagaDefinition(
    name="two", steps=(Step(name="a", action="t.a"), Step(name="b", action="t.b", after=("a",)))
)
FAILURE = {"code": "t.no", "message": "no", "retryable": False, "effect": "none", "details": {}}


class Known:
    def get(self, ref: str) -> SagaDefinition | None:
        return DEFINITION if ref == DEFINITION.ref else None

    async def fetch(self, ref: str) -> SagaDefinition | None:
        return self.get(ref)


def message(sequence: int, saga_id: str, step: str, kind: str, data: dict[str, Any]) -> StreamMessage:
    at = BEGIN + timedelta(milliseconds=sequence)
    fact = Fact(
        id=fact_id(saga_id, step, kind), source="/t", type=f"saga.{kind}", subject=step, time=at, sagaid=saga_id,
        definition=DEFINITION.ref, correlationid=saga_id, data=data,
    )  # fmt: skip
    return StreamMessage(sequence, f"evt.0.two.{step}.{kind}.{saga_id}", fact.encode(), at)


def story(saga_id: str, refused: bool) -> list[tuple[str, str, dict[str, Any]]]:
    begun = [
        ("_saga", "started", {"input": {"n": 1}, "labels": {"team": "red"}}),
        ("a", "started", {"input": {}, "attempt": 1}),
    ]
    begun.append(("a", "completed", {"output": {}, "attempt": 1, "duration_ms": 1.5}))
    if not refused:
        return [*begun, ("b", "completed", {"output": {}, "attempt": 1})]
    return [
        *begun,
        ("b", "failed", {"failure": FAILURE, "attempt": 1}),
        ("_saga", "aborted", {"cause": "step", "step": "b"}),
        ("a", "compensated", {"attempt": 1}),
    ]


def interleaved(sagas: int) -> list[StreamMessage]:
    stories = {f"s{number}": story(f"s{number}", refused=number % 2 == 1) for number in range(sagas)}
    messages, sequence = [], 0
    while any(stories.values()):
        for saga_id, left in stories.items():
            if left:
                sequence += 1
                step, kind, data = left.pop(0)
                messages.append(message(sequence, saga_id, step, kind, data))
    return messages


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[Database]:
    async with open_log(database_url) as database:
        yield database


async def rows(database: Database) -> list[Any]:
    async with database.reading() as connection:
        return [
            [tuple(row) for row in await connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))]
            for table in ("sagas", "steps", "labels", "facts", "positions")
        ]


async def applied(database: Database, batches: Sequence[Sequence[StreamMessage]]) -> list[Any]:
    projector = Projector(database, Known())
    for batch in batches:
        await projector.apply(0, batch)
    return await rows(database)


@given(cuts=st.lists(st.integers(1, 24), max_size=6))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_how_facts_are_cut_into_batches_makes_no_difference(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    messages = interleaved(5)
    borders = sorted({0, *[cut for cut in cuts if cut < len(messages)], len(messages)})
    cut_up = [messages[a:b] for a, b in pairwise(borders)]
    folder = tmp_path_factory.mktemp("cuts")
    async with open_log(f"sqlite+aiosqlite:///{folder / 'whole.db'}") as whole:
        at_once = await applied(whole, [messages])
    async with open_log(f"sqlite+aiosqlite:///{folder / 'cut.db'}") as cut:
        assert await applied(cut, cut_up) == at_once


async def test_the_row_is_the_fold_of_the_facts(log: Database) -> None:
    messages = interleaved(4)
    await applied(log, [messages])
    queries = Queries(log)
    for number in range(4):
        view = await queries.get(f"s{number}")
        state = fold(DEFINITION, await queries.facts(f"s{number}"))
        assert (view.saga["status"], view.saga["sequence"]) == (state.status.value, state.sequence)
        assert {row["step"]: row["status"] for row in view.steps} == {
            name: step.status.value for name, step in state.steps.items() if step.sequence
        }


async def test_messages_that_come_again_change_nothing(log: Database) -> None:
    messages = interleaved(3)
    projector = Projector(log, Known())
    await projector.apply(0, messages)
    before = await rows(log)
    await projector.apply(0, messages)
    assert await rows(log) == before


async def test_rows_and_position_roll_back_together(log: Database) -> None:
    messages = interleaved(3)
    projector = Projector(log, Known())
    await projector.apply(0, messages[:4])
    before = await rows(log)
    broken = messages[4:8]
    again = StreamMessage(broken[-1].sequence, "x", broken[-1].payload, BEGIN)
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        # The same sequence twice breaks the facts' primary key in the middle of the batch.
        await projector.apply(0, [*broken, again])
    assert await rows(log) == before
    restarted = Projector(log, Known())
    assert await restarted.load_positions() == {0: messages[3].sequence}
    await restarted.apply(0, messages)
    assert (await Queries(log).get("s0")).saga["status"] == "completed"


async def test_what_cannot_be_applied_is_put_aside_and_the_log_goes_on(log: Database) -> None:
    good = interleaved(1)
    unknown = Fact.decode(good[0].payload).model_copy(update={"definition": "other@1", "sagaid": "x"})
    poison = [
        StreamMessage(50, "evt.0.two._saga.started.p", b"{ not json", BEGIN),
        StreamMessage(51, "evt.0.other._saga.started.x", unknown.encode(), BEGIN),
    ]
    await Projector(log, Known()).apply(
        0, [*good, *poison, message(52, "s9", "_saga", "started", {"input": {}})]
    )
    queries = Queries(log)
    assert [(row["sequence"], bool(row["reason"])) for row in await queries.rejected()] == [
        (51, True),
        (50, True),
    ]
    assert (await queries.get("s9")).saga["status"] == "running"


@pytest.mark.parametrize(
    "started",
    [
        {"labels": {"team": "r\x00d"}},
        {"labels": {"t" * 65: "red"}},
    ],
)
async def test_what_no_row_can_hold_is_put_aside_on_every_database(
    log: Database, started: dict[str, Any]
) -> None:
    messages = [
        message(1, "bad", "_saga", "started", {"input": {}, **started}),
        message(2, "good", "_saga", "started", {"input": {"text": "\x00"}, "labels": {"team": "blue"}}),
    ]
    await applied(log, [messages])
    queries = Queries(log)
    assert [row["sequence"] for row in await queries.rejected()] == [1]
    assert (await queries.get("good")).saga["input"] == {"text": "\x00"}


LONG = Random(1).randbytes(4500).hex()


@pytest.mark.parametrize(
    "poison",
    [
        message(2, "odd", "a", "k" * 40, {}),
        message(2, "odd", "a", "completed", {"output": {}, "attempt": "often"}),
        message(2, "odd", "a", "completed", {"output": {}, "attempt": 10**30}),
        message(2, "odd", "a", "completed", {"output": {}, "duration_ms": "long"}),
        message(2, "odd", "a", "completed", {"output": {}, "duration_ms": [1]}),
        message(2, "labelled", "_saga", "started", {"input": {}, "labels": {"team": LONG}}),
    ],
    ids=["kind", "type", "number", "duration", "list", "label"],
)
async def test_what_a_database_refuses_does_not_stop_the_log(log: Database, poison: StreamMessage) -> None:
    good = [
        message(1, "odd", "_saga", "started", {"input": {}}),
        message(3, "odd", "b", "failed", {"failure": FAILURE, "attempt": 1}),
        message(4, "next", "_saga", "started", {"input": {}}),
    ]
    put_aside: list[int] = []

    async def note(partition: int, message: StreamMessage, error: Exception) -> None:
        put_aside.append(message.sequence)

    projector = Projector(log, Known(), put_aside=note)
    await projector.apply(0, sorted([*good, poison], key=lambda one: one.sequence))
    queries = Queries(log)
    assert projector.positions == {0: 4}
    assert (await queries.get("next")).saga["status"] == "running"
    assert {"step": "b", "status": "failed"}.items() <= (await queries.get("odd")).steps[-1].items()
    rejected = [row["sequence"] for row in await queries.rejected()]
    assert set(put_aside) == set(rejected) <= {2}
    if log.engine.dialect.name == "postgresql":
        assert rejected == [2]
        with pytest.raises(Unstorable):
            await projector.apply_again(0, 2, poison.payload)


async def test_two_logs_that_start_at_once_bring_the_schema_up_to_date_once(database_url: str) -> None:
    async def start() -> None:
        async with open_log(database_url) as log:
            assert await Queries(log).count(Filter()) == 0

    await asyncio.gather(*(start() for _ in range(4)))


async def test_lists_are_filtered_and_paged_without_gaps(log: Database) -> None:
    await applied(log, [interleaved(7)])
    queries = Queries(log)
    seen, cursor = [], None
    while True:
        page = await queries.page(Filter(labels=(("team", "red"),)), limit=3, cursor=cursor)
        seen += [row["saga_id"] for row in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [f"s{number}" for number in reversed(range(7))]
    assert await queries.count(Filter(status=("compensated",))) == 3
    assert await queries.count(Filter(name="two", query="s1")) == 1
    assert (await queries.statistics())[0].by_status == {"completed": 4, "compensated": 3}


async def test_the_migrations_give_the_schema_of_the_tables(log: Database) -> None:
    def differences(connection: Any) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), LogTable.metadata))

    async with log.engine.begin() as connection:
        found = await connection.run_sync(differences)
    assert [one for one in found if not isinstance(one, list)] == []


def test_facts_of_the_story_are_known_kinds() -> None:
    kinds = {kind for _, kind, _ in story("s", refused=True)}
    assert kinds <= {kind.value for kind in FactKind}
    assert fold(DEFINITION, [Recorded(1, Fact.decode(interleaved(1)[0].payload))]).status == "running"
