"""The settlement ledger: double entry, never changed, chained."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from contracts.failure import InvalidContract, NotFound
from events.clock import utc_now
from events.database import Database
from services.payments.ledger import GENESIS, SqlLedger, entry_hash
from services.payments.ports import Posting
from services.payments.steps.settle_payment import postings
from services.payments.tables import LedgerEntry, LedgerPosting
from tests.services.orders import to_settle

POSTINGS = postings(to_settle())


@pytest.fixture
async def database(database: Database) -> Database:
    await database.create([LedgerEntry.__table__, LedgerPosting.__table__])  # type: ignore[attr-defined]
    return database


async def entries(database: Database) -> list[LedgerEntry]:
    async with database.transaction() as session:
        return list((await session.exec(select(LedgerEntry).order_by(col(LedgerEntry.number)))).all())


async def test_entries_are_numbered_and_chained(database: Database) -> None:
    async with database.transaction() as session:
        ledger = SqlLedger(session, utc_now())
        first, second = [await ledger.book(key, "payment", POSTINGS) for key in ("a", "b")]
    assert (first.number, second.number) == (1, 2)
    booked = await entries(database)
    assert [entry.previous_hash for entry in booked] == [GENESIS, first.hash]
    assert second.hash == entry_hash(first.hash, "b", "payment", POSTINGS)


async def test_a_key_is_booked_once(database: Database) -> None:
    for _ in range(2):
        async with database.transaction() as session:
            first = await SqlLedger(session, utc_now()).book("a", "payment", POSTINGS)
    assert first.number == 1
    assert len(await entries(database)) == 1


async def test_a_reversal_is_an_entry_of_its_own_and_sums_to_nothing(database: Database) -> None:
    async with database.transaction() as session:
        ledger = SqlLedger(session, utc_now())
        await ledger.book("a", "payment", POSTINGS)
        first = await ledger.reverse("a", "a.reversal")
        assert await ledger.reverse("a", "a.reversal") == first
        booked = (await session.exec(select(LedgerPosting))).all()
    totals = {posting.account: Decimal(0) for posting in booked}
    for posting in booked:
        totals[posting.account] += posting.amount
    assert set(totals.values()) == {Decimal(0)}
    assert [entry.reverses for entry in await entries(database)] == [None, "a"]


async def test_what_was_never_booked_cannot_be_reversed(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(NotFound, match="no ledger entry a"):
            await SqlLedger(session, utc_now()).reverse("a", "a.reversal")


async def test_an_entry_must_balance_in_every_currency(database: Database) -> None:
    crooked = (Posting("x", "KES", Decimal(1)), Posting("y", "GBP", Decimal(-1)))
    async with database.transaction() as session:
        with pytest.raises(InvalidContract, match="does not balance"):
            await SqlLedger(session, utc_now()).book("a", "payment", crooked)
    assert await entries(database) == []


async def test_entries_booked_at_once_form_one_chain(database: Database) -> None:
    async def book(key: str) -> None:
        async with database.transaction() as session:
            await SqlLedger(session, utc_now()).book(key, "payment", POSTINGS)

    await asyncio.gather(*(book(str(number)) for number in range(12)))
    booked = await entries(database)
    assert {entry.previous_hash for entry in booked} == {GENESIS} | {entry.hash for entry in booked[:-1]}


async def test_the_chain_cannot_fork(database: Database) -> None:
    async with database.transaction() as session:
        await SqlLedger(session, utc_now()).book("a", "payment", POSTINGS)
    async with database.transaction() as session:
        session.add(LedgerEntry(key="b", memo="", previous_hash=GENESIS, hash="1" * 64, at=utc_now()))
        with pytest.raises(IntegrityError):
            await session.flush()
        await session.rollback()


amounts = st.decimals(min_value=1, max_value=10**9, places=2).map(str)


@given(payout=amounts)
def test_a_payment_balances_whatever_is_paid(payout: str) -> None:
    booked = postings(to_settle(payout=payout))
    for currency in ("GBP", "KES"):
        assert sum(posting.amount for posting in booked if posting.currency == currency) == 0


@given(st.text(), st.text(), st.text(), st.text())
def test_every_part_of_an_entry_is_in_its_hash(key: str, memo: str, other: str, account: str) -> None:
    hashed = entry_hash(GENESIS, key, memo, [Posting(account, "KES", Decimal(1))])
    assert (entry_hash(GENESIS, other, memo, [Posting(account, "KES", Decimal(1))]) == hashed) == (
        other == key
    )
    assert (entry_hash(GENESIS, key, other, [Posting(account, "KES", Decimal(1))]) == hashed) == (
        other == memo
    )
    assert (entry_hash(GENESIS, key, memo, [Posting(other, "KES", Decimal(1))]) == hashed) == (
        other == account
    )
    assert entry_hash(GENESIS, key, memo, [Posting(account, "KES", Decimal(2))]) != hashed
