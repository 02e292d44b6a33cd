"""The guard under concurrent transactions: two replicas, two connections, one database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.failure import Failure
from events.clock import utc_now
from events.database import Database, make_engine
from events.inbox import GUARD, AlreadyRefused, AlreadyUndone, EffectKey, Inbox

EFFECTS = Table("effects", MetaData(), Column("number", Integer, primary_key=True), Column("saga", Integer))
NO = Failure(code="t.no", message="no", effect="none")
RACERS = 4
SAGAS = 8


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[Database]]:
    opened = [Database(make_engine(database_url)) for _ in range(2)]
    await opened[0].create([GUARD, EFFECTS])
    yield opened
    for database in opened:
        await database.close()


async def effects(database: Database) -> Counter[int]:
    async with database.transaction() as session:
        found = await (await session.connection()).execute(select(EFFECTS.c.saga))
        return Counter(row.saga for row in found)


async def effect(session: AsyncSession, saga: int) -> dict[str, Any]:
    happens = insert(EFFECTS).values(saga=saga).returning(EFFECTS.c.number)
    return {"number": (await (await session.connection()).execute(happens)).scalar_one()}


async def test_of_many_who_do_the_same_at_once_one_does_it_and_all_get_its_output(
    replicas: list[Database],
) -> None:
    inboxes = [Inbox(database, utc_now) for database in replicas]

    async def race(saga: int) -> set[int]:
        key = EffectKey(f"s{saga}", "step")
        outputs = await asyncio.gather(
            *(inboxes[racer % 2].once(key, lambda session: effect(session, saga)) for racer in range(RACERS))
        )
        return {output["number"] for output in outputs}

    seen = await asyncio.gather(*(race(saga) for saga in range(SAGAS)))
    assert [len(numbers) for numbers in seen] == [1] * SAGAS
    assert await effects(replicas[0]) == Counter(range(SAGAS))


async def test_of_effect_refusal_and_undo_at_once_the_first_wins_and_the_others_see_it(
    replicas: list[Database],
) -> None:
    inboxes = [Inbox(database, utc_now) for database in replicas]
    undone: Counter[int] = Counter()

    async def race(saga: int) -> list[str]:
        key = EffectKey(f"s{saga}", "step")

        async def undo(session: object, output: object) -> None:
            undone[saga] += 1

        ends = await asyncio.gather(
            inboxes[0].once(key, lambda session: effect(session, saga)),
            inboxes[1].refuse(key, NO),
            inboxes[0].undo(key, undo),
            inboxes[1].undo(key, undo),
            return_exceptions=True,
        )
        strange = [end for end in ends if isinstance(end, Exception)]
        assert all(isinstance(end, AlreadyUndone | AlreadyRefused) for end in strange), strange
        return [type(end).__name__ for end in ends]

    await asyncio.gather(*(race(saga) for saga in range(SAGAS)))
    happened = await effects(replicas[0])
    assert all(undone[saga] == happened[saga] for saga in range(SAGAS)), (undone, happened)


async def test_two_replicas_that_start_at_once_create_the_tables_once(database_url: str) -> None:
    replicas = [Database(make_engine(database_url)) for _ in range(4)]
    seeded = 0

    async def seed(session: AsyncSession) -> None:
        nonlocal seeded
        seeded += 1

    await asyncio.gather(*(database.create([GUARD, EFFECTS], seed) for database in replicas))
    for database in replicas:
        await database.close()
    assert seeded == 1
