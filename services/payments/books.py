"""The books: after a run, money in equals money out, and nothing happened twice.

Read from the services' own databases and the operators' statement, not from facts: the books do not
believe what a saga says of itself. A payment *stands* if it was settled and not reversed. Every payment that
stands has one reservation, one locked rate, one payout and one receipt, of matching amounts; nothing else
has any.
Payments under way show as differences, so check when a run has ended.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlmodel import SQLModel, col, select

from events.database import Database, make_engine
from saga.service import ServiceSettings
from services.payments.ledger import GENESIS, entry_hash
from services.payments.ports import Posting
from services.payments.tables import LedgerEntry, LedgerPosting, Payment, Pool, PoolEntry, RateLock, Receipt

type Sums = dict[str, Decimal]
"""Per currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """`differences` names whatever does not add up; `duplicates` counts the effects of one step of one saga
    that happened more than once. `reserved`, `settled` and `paid` are what stands, per currency.
    """

    differences: tuple[str, ...]
    duplicates: int
    reserved: Sums
    settled: Sums
    paid: Sums

    @property
    def balanced(self) -> bool:
        return not self.differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Everything the services and the operators have written down."""

    payments: list[Payment] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    pool_entries: list[PoolEntry] = field(default_factory=list)
    rate_locks: list[RateLock] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    postings: list[LedgerPosting] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    movements: list[dict[str, Any]] = field(default_factory=list)


_TABLES: dict[str, dict[str, type[SQLModel]]] = {
    "create_payment": {"payments": Payment},
    "check_liquidity": {"pools": Pool, "pool_entries": PoolEntry},
    "lock_exchange_rate": {"rate_locks": RateLock},
    "settle_payment": {"entries": LedgerEntry, "postings": LedgerPosting},
    "confirm_payment": {"receipts": Receipt},
}


async def check_books(settings: ServiceSettings, statement: Iterable[dict[str, Any]]) -> Books:
    """Compare the services' databases with each other and with the operators' statement."""
    return compare(await read_records(settings, statement))


async def read_records(settings: ServiceSettings, statement: Iterable[dict[str, Any]]) -> Records:
    """What has been written down; tables that do not exist yet are empty."""
    found: dict[str, Any] = {"movements": list(statement)}
    for name, tables in _TABLES.items():
        database = Database(make_engine(settings.url_of(name)))
        try:
            await database.create([table.__table__ for table in tables.values()])  # type: ignore[attr-defined]
            async with database.transaction() as session:
                for key, table in tables.items():
                    primary: Iterable[Any] = table.__table__.primary_key  # type: ignore[attr-defined]
                    rows = await session.exec(select(table).order_by(*map(col, primary)))
                    found[key] = list(rows.all())
        finally:
            await database.close()
    return Records(**found)


def compare(records: Records) -> Books:
    """The books of these records."""
    by_saga = {
        "reserved": _reserved(records),
        "settled": _settled(records),
        "paid": _paid(records),
    }
    differences = [
        *_pool_differences(records),
        *_ledger_differences(records),
        *_amounts_differ(by_saga["settled"], by_saga["paid"]),
        *_reservations_differ(by_saga["reserved"], by_saga["paid"]),
        *_standing_differs(records, by_saga),
    ]
    return Books(
        differences=tuple(differences),
        duplicates=_duplicates(records),
        reserved=_per_currency(by_saga["reserved"]),
        settled=_per_currency(by_saga["settled"]),
        paid=_per_currency(by_saga["paid"]),
    )


type BySaga = dict[str, Sums]


def _net(amounts: Iterable[tuple[str, str, Decimal]]) -> BySaga:
    """(saga, currency, amount) summed; what has come to nothing is left out."""
    sums: dict[str, Sums] = defaultdict(lambda: defaultdict(Decimal))
    for saga_id, currency, amount in amounts:
        sums[saga_id][currency] += amount
    standing = {
        saga_id: {currency: amount for currency, amount in of_saga.items() if amount}
        for saga_id, of_saga in sums.items()
    }
    return {saga_id: of_saga for saga_id, of_saga in standing.items() if of_saga}


def _reserved(records: Records) -> BySaga:
    return _net((entry.saga_id, entry.currency, -entry.change) for entry in records.pool_entries)


def _settled(records: Records) -> BySaga:
    return _net(
        (_saga_of(posting.entry_key), posting.currency, -posting.amount)
        for posting in records.postings
        if posting.account.startswith("operator.")
    )


def _paid(records: Records) -> BySaga:
    sign = {"payout": 1, "reversal": -1, "bar": 0}
    return _net(
        (_saga_of(line["key"]), line["currency"], sign[line["kind"]] * Decimal(line["amount"]))
        for line in records.movements
    )


def _per_currency(by_saga: BySaga) -> Sums:
    sums: Sums = defaultdict(Decimal)
    for of_saga in by_saga.values():
        for currency, amount in of_saga.items():
            sums[currency] += amount
    return dict(sorted(sums.items()))


def _saga_of(key: str) -> str:
    return key.partition(".")[0]


def _pool_differences(records: Records) -> Iterator[str]:
    changes: Sums = defaultdict(Decimal)
    for entry in records.pool_entries:
        changes[entry.currency] += entry.change
    for pool in records.pools:
        if pool.held + changes[pool.currency] != pool.free:
            yield (
                f"pool {pool.currency}: {pool.free} free of {pool.held}, but its entries sum to "
                f"{changes[pool.currency]}"
            )
        if pool.free < 0:
            yield f"pool {pool.currency}: overdrawn by {-pool.free}"


def _ledger_differences(records: Records) -> Iterator[str]:
    by_key: dict[str, list[Posting]] = defaultdict(list)
    sums: Sums = defaultdict(Decimal)
    for posting in records.postings:
        by_key[posting.entry_key].append(Posting(posting.account, posting.currency, posting.amount))
        sums[posting.currency] += posting.amount
    yield from (f"ledger: {currency} sums to {total}" for currency, total in sums.items() if total)
    previous = GENESIS
    for entry in records.entries:
        expected = entry_hash(previous, entry.key, entry.memo, by_key.pop(entry.key, []))
        if entry.previous_hash != previous or entry.hash != expected:
            yield f"ledger: entry {entry.number} breaks the chain"
        previous = entry.hash
    yield from (f"ledger: postings of {key}, which is no entry" for key in by_key)


def _amounts_differ(settled: BySaga, paid: BySaga) -> Iterator[str]:
    for saga_id in sorted(settled.keys() | paid.keys()):
        if settled.get(saga_id) != paid.get(saga_id):
            yield (
                f"saga {saga_id}: settled {_text(settled.get(saga_id))}, but the operators paid "
                f"{_text(paid.get(saga_id))}"
            )


def _reservations_differ(reserved: BySaga, paid: BySaga) -> Iterator[str]:
    """What was set aside is at least what was paid; the rest is our fee, the way's cost and our margin."""
    for saga_id in sorted(reserved.keys() & paid.keys()):
        for currency, amount in paid[saga_id].items():
            if reserved[saga_id].get(currency, Decimal(0)) < amount:
                yield (
                    f"saga {saga_id}: paid {amount} {currency} of only {_text(reserved[saga_id])} reserved"
                )


def _text(sums: Mapping[str, Decimal] | None) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in (sums or {}).items()) or "nothing"


def _standing_differs(records: Records, by_saga: Mapping[str, BySaga]) -> Iterator[str]:
    standing = by_saga["settled"].keys()
    noted = {
        "not reserved": standing - by_saga["reserved"].keys(),
        "reserved, but not settled": by_saga["reserved"].keys() - standing,
        **_against(standing, "ordered", _open(records.payments, "created")),
        **_against(standing, "its rate locked", _open(records.rate_locks, "locked")),
        "settled, but without a receipt": standing - {receipt.saga_id for receipt in records.receipts},
    }
    for what, sagas in noted.items():
        yield from (f"saga {saga_id}: {what}" for saga_id in sorted(sagas))


def _against(standing: Iterable[str], what: str, others: set[str]) -> dict[str, set[str]]:
    settled = set(standing)
    return {f"settled, but not {what}": settled - others, f"{what}, but not settled": others - settled}


def _open(rows: Iterable[Payment | RateLock], status: str) -> set[str]:
    return {row.saga_id for row in rows if row.status == status}


def _duplicates(records: Records) -> int:
    effects: Counter[tuple[str, ...]] = Counter()
    effects.update(("payment", row.saga_id) for row in records.payments)
    effects.update(("pool", row.saga_id, row.kind) for row in records.pool_entries)
    effects.update(("rate", row.saga_id) for row in records.rate_locks)
    effects.update(("ledger", row.key) for row in records.entries)
    effects.update(("receipt", row.saga_id) for row in records.receipts)
    effects.update(("operator", line["key"], line["kind"]) for line in records.movements)
    return sum(1 for count in effects.values() if count > 1)
