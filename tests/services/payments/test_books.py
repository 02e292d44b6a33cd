"""The books: they balance after real payments, and every way of losing money shows."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.ids import new_saga_id
from services.payments.books import Books, Records, check_books, compare, read_records
from services.payments.ledger import GENESIS
from services.payments.steps.check_liquidity import check_liquidity
from services.payments.steps.confirm_payment import confirm_payment
from services.payments.steps.create_payment import create_payment
from services.payments.steps.execute_mmo import execute_mmo
from services.payments.steps.lock_exchange_rate import lock_exchange_rate
from services.payments.steps.settle_payment import settle_payment
from services.payments.tables import PoolEntry
from tests.services.orders import (
    a_request,
    to_confirm,
    to_create,
    to_lock,
    to_pay,
    to_reserve,
    to_settle,
)
from tests.services.steps import Steps, open_steps

CHAIN: tuple[tuple[Any, Any], ...] = (
    (create_payment, to_create(a_request())),
    (check_liquidity, to_reserve()),
    (lock_exchange_rate, to_lock()),
    (execute_mmo, to_pay()),
    (settle_payment, to_settle()),
    (confirm_payment, to_confirm()),
)


@pytest.fixture
async def own_steps(tmp_path: Path, own_sandbox_url: str) -> AsyncIterator[Steps]:
    async with open_steps(tmp_path / "data", own_sandbox_url) as opened:
        yield opened


async def pay(steps: Steps, until: int = len(CHAIN)) -> str:
    """The first so many steps of a payment; its saga."""
    saga_id = new_saga_id()
    for action, command in CHAIN[:until]:
        await steps.done(action, command, saga_id)
    return saga_id


async def call_back(steps: Steps, saga_id: str, done: int) -> None:
    for action, command in reversed(CHAIN[:done]):
        if action.compensable:
            await steps.undo(action, command, saga_id)


async def books_of(steps: Steps, operators: httpx2.AsyncClient) -> Books:
    return await check_books(steps.settings, (await operators.get("/statement")).json())


async def test_they_balance_after_payments_that_stand_and_payments_that_were_undone(
    own_steps: Steps, own_operators: httpx2.AsyncClient
) -> None:
    for _ in range(2):
        await pay(own_steps)
    for done in range(1, len(CHAIN)):
        await call_back(own_steps, await pay(own_steps, done), done)
    books = await books_of(own_steps, own_operators)
    assert books.differences == ()
    assert books.duplicates == 0
    assert books.paid == books.settled == {"KES": Decimal("80000.00")}
    assert books.reserved["KES"] >= books.paid["KES"]


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (1, "ordered, but not settled"),
        (2, "reserved, but not settled"),
        (3, "its rate locked, but not settled"),
        (4, "settled nothing, but the operators paid 40000.00 KES"),
        (5, "settled, but without a receipt"),
    ],
)
async def test_a_payment_that_stopped_halfway_shows(
    own_steps: Steps, own_operators: httpx2.AsyncClient, done: int, said: str
) -> None:
    saga_id = await pay(own_steps, done)
    books = await books_of(own_steps, own_operators)
    assert not books.balanced
    assert any(saga_id in difference and said in difference for difference in books.differences)


@pytest.fixture
async def records(own_steps: Steps, own_operators: httpx2.AsyncClient) -> Records:
    """Those of one payment that stands."""
    await pay(own_steps)
    return await read_records(own_steps.settings, (await own_operators.get("/statement")).json())


type Tamper = Callable[[Records], Records]


def _paid_less(records: Records) -> Records:
    return replace(records, movements=[line | {"amount": "39999.00"} for line in records.movements])


def _reversed_behind_our_back(records: Records) -> Records:
    return replace(records, movements=[*records.movements, records.movements[0] | {"kind": "reversal"}])


def _pool_without_entry(records: Records) -> Records:
    return replace(records, pool_entries=[])


def _reserved_too_little(records: Records) -> Records:
    (entry,) = records.pool_entries
    return replace(records, pool_entries=[PoolEntry(**entry.model_dump() | {"change": Decimal(-1)})])


def _posting_changed(records: Records) -> Records:
    records.postings[0].amount += 1
    return records


def _posting_lost(records: Records) -> Records:
    return replace(records, postings=records.postings[1:])


def _entry_rewritten(records: Records) -> Records:
    records.entries[0].memo = "another memo"
    return records


def _entry_lost(records: Records) -> Records:
    return replace(records, entries=[])


def _chain_broken(records: Records) -> Records:
    records.entries[0].previous_hash = "1" * len(GENESIS)
    return records


def _receipt_lost(records: Records) -> Records:
    return replace(records, receipts=[])


@pytest.mark.parametrize(
    "tamper",
    [
        _paid_less,
        _reversed_behind_our_back,
        _pool_without_entry,
        _reserved_too_little,
        _posting_changed,
        _posting_lost,
        _entry_rewritten,
        _entry_lost,
        _chain_broken,
        _receipt_lost,
    ],
)
def test_whatever_is_wrong_shows(records: Records, tamper: Tamper) -> None:
    assert compare(records).balanced
    assert not compare(tamper(records)).balanced


def _paid_twice(records: Records) -> Records:
    return replace(records, movements=records.movements * 2)


def _reserved_twice(records: Records) -> Records:
    return replace(records, pool_entries=records.pool_entries * 2)


def _settled_twice(records: Records) -> Records:
    return replace(records, entries=records.entries * 2)


@pytest.mark.parametrize("tamper", [_paid_twice, _reserved_twice, _settled_twice])
def test_whatever_happened_twice_is_counted(records: Records, tamper: Tamper) -> None:
    assert compare(records).duplicates == 0
    twice = compare(tamper(records))
    assert twice.duplicates == 1
    assert not twice.balanced


async def test_without_any_payment_there_is_nothing_to_say(tmp_path: Path) -> None:
    async with open_steps(tmp_path) as steps:
        books = await check_books(steps.settings, [])
    assert books == Books(differences=(), duplicates=0, reserved={}, settled={}, paid={})
