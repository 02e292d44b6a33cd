"""The books: after a run, money in equals money out, and nothing happened twice.

Read from the services' own databases and the operators' statement, not from facts: the books do not
believe what the saga says of itself.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlmodel import col, select

from events.database import Database, make_engine
from saga.service import ServiceSettings
from services.payments.ledger import GENESIS, entry_hash
from services.payments.ports import Posting
from services.payments.tables import LedgerEntry, LedgerPosting, Pool, PoolEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """`differences` names every sum that does not add up; `duplicates` counts effects that happened twice."""

    differences: tuple[str, ...]
    duplicates: int
    reserved: dict[str, Decimal]
    settled: dict[str, Decimal]
    paid: dict[str, Decimal]

    @property
    def balanced(self) -> bool:
        return not self.differences


async def check_books(settings: ServiceSettings, statement: Iterable[dict[str, Any]]) -> Books:
    """Compare pools, settlement ledger and the operators' statement."""
    pools, pool_entries = await _read(settings, "check_liquidity", Pool, PoolEntry)
    entries, postings = await _read(settings, "settle_payment", LedgerEntry, LedgerPosting)
    transfers = [transfer for transfer in statement if transfer["state"] == "paid"]
    settled = _settled(postings)
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for transfer in transfers:
        paid[transfer["currency"]] += Decimal(transfer["amount"])
    differences = [
        *_pool_differences(pools, pool_entries),
        *_ledger_differences(entries, postings),
        *_sums_differ("settled", settled, "paid by the operators", dict(paid)),
        *_keys_differ(entries, transfers, pool_entries),
    ]
    return Books(
        differences=tuple(differences),
        duplicates=_duplicates(entries, pool_entries),
        reserved={pool.currency: pool.held - pool.free for pool in pools if pool.held != pool.free},
        settled=settled,
        paid=dict(paid),
    )


async def _read(settings: ServiceSettings, database: str, *tables: Any) -> list[list[Any]]:
    opened = Database(make_engine(settings.url_of(database)))
    try:
        await opened.create([table.__table__ for table in tables])
        async with opened.transaction() as session:
            return [
                list(
                    (await session.exec(select(table).order_by(*map(col, table.__table__.primary_key)))).all()
                )
                for table in tables
            ]
    finally:
        await opened.close()


def _pool_differences(pools: list[Pool], entries: list[PoolEntry]) -> list[str]:
    changes: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        changes[entry.currency] += entry.change
    return [
        f"pool {pool.currency}: free {pool.free}, but held {pool.held} and changes {changes[pool.currency]}"
        for pool in pools
        if pool.held + changes[pool.currency] != pool.free
    ]


def _ledger_differences(entries: list[LedgerEntry], postings: list[LedgerPosting]) -> list[str]:
    by_key: dict[str, list[Posting]] = defaultdict(list)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for posting in postings:
        by_key[posting.entry_key].append(Posting(posting.account, posting.currency, posting.amount))
        sums[posting.currency] += posting.amount
    differences = [f"ledger: {currency} sums to {total}" for currency, total in sums.items() if total]
    previous = GENESIS
    for entry in entries:
        if entry.previous_hash != previous or entry.hash != entry_hash(
            previous, entry.key, entry.memo, by_key[entry.key]
        ):
            differences.append(f"ledger: entry {entry.number} breaks the chain")
        previous = entry.hash
    return differences


def _settled(postings: list[LedgerPosting]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for posting in postings:
        if posting.account.startswith("operator."):
            totals[posting.currency] -= posting.amount
    return {currency: total for currency, total in totals.items() if total}


def _sums_differ(
    left_name: str, left: dict[str, Decimal], right_name: str, right: dict[str, Decimal]
) -> list[str]:
    return [
        f"{currency}: {left.get(currency, Decimal(0))} {left_name}, {right.get(currency, Decimal(0))} {right_name}"
        for currency in sorted(left.keys() | right.keys())
        if left.get(currency, Decimal(0)) != right.get(currency, Decimal(0))
    ]


def _keys_differ(
    entries: list[LedgerEntry], transfers: list[dict[str, Any]], pool_entries: list[PoolEntry]
) -> list[str]:
    """Each payment that stands: one ledger entry, one transfer, one reservation."""
    reversed_keys = {entry.reverses for entry in entries if entry.reverses}
    settled = {
        _saga_of(entry.key) for entry in entries if not entry.reverses and entry.key not in reversed_keys
    }
    paid = {_saga_of(transfer["key"]) for transfer in transfers}
    released = {entry.saga_id for entry in pool_entries if entry.kind == "release"}
    reserved = {entry.saga_id for entry in pool_entries if entry.kind == "reserve"} - released
    return [
        f"saga {saga_id}: {what}"
        for what, sagas in (
            ("settled but not paid", settled - paid),
            ("paid but not settled", paid - settled),
            ("settled without a reservation", settled - reserved),
            ("reserved without being settled", reserved - settled),
        )
        for saga_id in sorted(sagas)
    ]


def _saga_of(key: str) -> str:
    return key.partition(".")[0]


def _duplicates(entries: list[LedgerEntry], pool_entries: list[PoolEntry]) -> int:
    def again(values: Iterable[Any]) -> int:
        return sum(count - 1 for count in Counter(values).values())

    kinds: Callable[[PoolEntry], Any] = lambda entry: (entry.saga_id, entry.kind)  # noqa: E731
    return again(entry.key for entry in entries) + again(kinds(entry) for entry in pool_entries)
