"""The payment services on SQLite and PostgreSQL: what two replicas do at once comes out as if in turn."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlmodel import select

from saga.action import Action
from saga.execution import Attempt, Done, Failed
from services.payments.rules import VELOCITY_COUNT
from services.payments.steps.check_liquidity import check_liquidity
from services.payments.steps.create_payment import create_payment
from services.payments.steps.lock_exchange_rate import lock_exchange_rate
from services.payments.steps.settle_payment import settle_payment
from services.payments.steps.validate_compliance import validate_compliance
from services.payments.tables import LedgerEntry, LedgerPosting, Payment, Pool, PoolEntry, RateLock
from tests.services.orders import a_request, to_create, to_lock, to_reserve, to_screen, to_settle
from tests.services.steps import Steps, open_steps


@pytest.fixture
async def replicas(tmp_path: Path, database_url: str) -> AsyncIterator[list[Steps]]:
    async with (
        open_steps(tmp_path / "a", database_url=database_url) as a,
        open_steps(tmp_path / "b", database_url=database_url) as b,
    ):
        yield [a, b]


async def at_once(replicas: list[Steps], action: Action, command: BaseModel, sagas: int) -> list[Attempt]:
    """Every saga's step on both replicas at the same time."""
    for replica in replicas:
        await replica.database(action)
    return await asyncio.gather(
        *(replica.do(action, command, f"s{saga}") for saga in range(sagas) for replica in replicas)
    )


async def test_every_step_with_a_database_is_done_and_undone_on_it(replicas: list[Steps]) -> None:
    steps = replicas[0]
    orders: list[tuple[Action, BaseModel]] = [
        (create_payment, to_create(a_request())),
        (check_liquidity, to_reserve()),
        (lock_exchange_rate, to_lock()),
        (settle_payment, to_settle()),
    ]
    for action, command in orders:
        assert isinstance(await steps.do(action, command, "s"), Done)
        assert isinstance(await steps.undo(action, command, "s"), Done)
    assert [row.status for row in await steps.rows(create_payment, select(Payment))] == ["cancelled"]
    assert [row.status for row in await steps.rows(lock_exchange_rate, select(RateLock))] == ["released"]
    moved = await steps.rows(check_liquidity, select(PoolEntry))
    assert sum(row.change for row in moved) == 0
    assert len(moved) == 2
    assert sum(row.amount for row in await steps.rows(settle_payment, select(LedgerPosting))) == 0


async def test_settlements_at_once_are_booked_once_each_in_one_chain(replicas: list[Steps]) -> None:
    ends = await at_once(replicas, settle_payment, to_settle(), 10)
    assert all(isinstance(end, Done) for end in ends), ends
    entries = await replicas[0].rows(settle_payment, select(LedgerEntry))
    assert len(entries) == len({entry.previous_hash for entry in entries}) == 10


async def test_reservations_at_once_never_lose_an_update_of_the_pool(replicas: list[Steps]) -> None:
    ends = await at_once(replicas, check_liquidity, to_reserve(), 10)
    assert all(isinstance(end, Done) for end in ends), ends
    moved = await replicas[0].rows(check_liquidity, select(PoolEntry))
    assert len(moved) == 10
    pool = (await replicas[0].rows(check_liquidity, select(Pool).where(Pool.currency == "KES")))[0]
    assert pool.free == pool.held + sum(entry.change for entry in moved)


async def test_payments_screened_at_once_count_for_each_other(replicas: list[Steps]) -> None:
    allowed = VELOCITY_COUNT["reduced"]
    ends = await at_once(
        replicas, validate_compliance, to_screen(a_request(), screening="reduced"), allowed + 3
    )
    refused = [end for end in ends if isinstance(end, Failed)]
    assert {end.failure.code for end in refused} == {"compliance.velocity"}
    assert sum(isinstance(end, Done) for end in ends) == 2 * allowed
