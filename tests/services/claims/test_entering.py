"""The order of the phases, on SQLite and PostgreSQL: once each, not before the one before, all of it on the trail."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, select

from contracts.phases import AccountConnected, DetectionCompleted, PhaseEntry, SyncCompleted
from events.database import Database
from saga.action import Refused
from services.claims.entering import Arrival, Entered, Held, commit_all_the_same, enter
from services.claims.tables import DATABASE, Transition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = AccountConnected(account_id="S-1")
SECOND = SyncCompleted(account_id="S-1", records=1)
THIRD = DetectionCompleted(account_id="S-1", findings=1)
PHASE = {AccountConnected: 1, SyncCompleted: 2, DetectionCompleted: 3}


@pytest.fixture
async def claims(database: Database) -> Database:
    await database.create([table.__table__ for table in DATABASE.tables])  # type: ignore[attr-defined]
    return database


async def arrives(
    claims: Database, entry: PhaseEntry, saga_id: str, *, after_s: float = 0, patience_s: float = 10
) -> Entered | Held:
    at = NOW + timedelta(seconds=after_s)
    arrival = Arrival(phase=PHASE[type(entry)], entry=entry, saga_id=saga_id, step="enter", at=at)
    return await commit_all_the_same(claims, lambda session: enter(session, arrival, patience_s))


async def trail(claims: Database) -> list[tuple[str, str]]:
    async with claims.transaction() as session:
        rows = (await session.exec(select(Transition).order_by(col(Transition.number)))).all()
    return [(row.saga_id, row.outcome) for row in rows]


async def test_a_delivery_that_comes_again_finds_what_it_did(claims: Database) -> None:
    first = await arrives(claims, FIRST, "a")
    again = await arrives(claims, FIRST, "a", after_s=5)
    assert isinstance(first, Entered)
    assert isinstance(again, Entered)
    assert (first.new, again.new, again.at) == (True, False, NOW)
    assert await trail(claims) == [("a", "entered")]


async def test_another_saga_with_the_same_entry_is_refused_and_that_is_noted(claims: Database) -> None:
    await arrives(claims, FIRST, "a")
    for _ in range(2):
        with pytest.raises(Refused, match="was entered before, by saga a"):
            await arrives(claims, FIRST, "b")
    assert await trail(claims) == [("a", "entered"), ("b", "repeated")]


async def test_who_comes_early_is_held_until_the_one_before_has_come(claims: Database) -> None:
    assert await arrives(claims, THIRD, "c") == Held(SECOND.key, 10)
    assert await arrives(claims, SECOND, "b") == Held(FIRST.key, 10)
    first = await arrives(claims, FIRST, "a")
    assert isinstance(first, Entered)
    assert first.waiting == [("b", "enter")]
    second = await arrives(claims, SECOND, "b", after_s=1)
    assert isinstance(second, Entered)
    assert (second.waited, second.waiting) == (True, [("c", "enter")])
    again = await arrives(claims, FIRST, "a")
    assert isinstance(again, Entered)
    assert again.waiting == []


async def test_patience_ends_and_is_measured_from_the_first_try(claims: Database) -> None:
    await arrives(claims, SECOND, "b")
    assert await arrives(claims, SECOND, "b", after_s=9) == Held(FIRST.key, 1)
    with pytest.raises(Refused, match="follows 1:S-1/1, which has not been entered"):
        await arrives(claims, SECOND, "b", after_s=10)
    assert await trail(claims) == [("b", "held"), ("b", "out_of_order")]


async def test_of_many_at_the_same_time_one_enters_and_nobody_is_forgotten(claims: Database) -> None:
    async def one(entry: PhaseEntry, saga_id: str) -> Entered | Held | None:
        try:
            return await arrives(claims, entry, saga_id)
        except Refused:
            return None

    for run in range(5):
        first = AccountConnected(account_id="S-1", run=f"r{run}")
        second = SyncCompleted(account_id="S-1", run=f"r{run}", records=1)
        came = await asyncio.gather(
            *(one(first, f"a{run}-{number}") for number in range(3)), one(second, f"b{run}")
        )
        entered = [one for one in came[:3] if isinstance(one, Entered)]
        assert len(entered) == 1
        # Either the second found the first there, or the first found it waiting.
        assert isinstance(came[3], Entered) or entered[0].waiting == [(f"b{run}", "enter")]
