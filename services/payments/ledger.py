"""The settlement ledger: double entry, never changed, every entry chained by hash to the one before it."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from pydantic_core import to_json
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.failure import InvalidContract, NotFound
from events.database import one_at_a_time
from services.payments.ports import Entry, Posting
from services.payments.tables import LedgerEntry, LedgerPosting

GENESIS = "0" * 64


def entry_hash(previous: str, key: str, memo: str, postings: Sequence[Posting]) -> str:
    """SHA-256 over the previous hash and the entry's content."""
    content = [[posting.account, posting.currency, format(posting.amount, "f")] for posting in postings]
    return hashlib.sha256(to_json([previous, key, memo, content])).hexdigest()


class SqlLedger:
    """A SettlementLedger inside one transaction of the settlement service's database."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now

    async def book(self, key: str, memo: str, postings: Sequence[Posting]) -> Entry:
        """Book an entry. Raises InvalidContract if its postings do not sum to zero in every currency."""
        if (known := await self._by_key(key)) is not None:
            return known
        _require_balance(key, postings)
        return await self._append(key, memo, postings, reverses=None)

    async def reverse(self, key: str, reversal_key: str) -> Entry:
        """Book the opposite of an entry. Raises NotFound if there is no entry with that key."""
        if (known := await self._by_key(reversal_key)) is not None:
            return known
        query = (
            select(LedgerPosting).where(LedgerPosting.entry_key == key).order_by(col(LedgerPosting.number))
        )
        booked = (await self._session.exec(query)).all()
        if not booked:
            raise NotFound(f"no ledger entry {key}")
        opposite = [Posting(posting.account, posting.currency, -posting.amount) for posting in booked]
        return await self._append(reversal_key, f"reversal of {key}", opposite, reverses=key)

    async def _by_key(self, key: str) -> Entry | None:
        entry = (await self._session.exec(select(LedgerEntry).where(LedgerEntry.key == key))).one_or_none()
        return Entry(entry.number or 0, entry.hash) if entry else None

    async def _append(
        self, key: str, memo: str, postings: Sequence[Posting], *, reverses: str | None
    ) -> Entry:
        # The chain has one end: who appends to it waits for whoever is doing so.
        await one_at_a_time(self._session, "settlement ledger")
        last = (
            await self._session.exec(select(LedgerEntry).order_by(col(LedgerEntry.number).desc()).limit(1))
        ).one_or_none()
        previous = last.hash if last else GENESIS
        entry = LedgerEntry(
            key=key,
            reverses=reverses,
            memo=memo,
            previous_hash=previous,
            hash=entry_hash(previous, key, memo, postings),
            at=self._now,
        )
        self._session.add(entry)
        for posting in postings:
            self._session.add(
                LedgerPosting(
                    entry_key=key, account=posting.account, currency=posting.currency, amount=posting.amount
                )
            )
        await self._session.flush()
        return Entry(entry.number or 0, entry.hash)


def _require_balance(key: str, postings: Sequence[Posting]) -> None:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for posting in postings:
        sums[posting.currency] += posting.amount
    if crooked := {currency: total for currency, total in sums.items() if total}:
        raise InvalidContract(f"entry {key} does not balance: {crooked}")
