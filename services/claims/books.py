"""The books: what the marketplace says it has paid is what we have booked, to the cent, and every cent has an owner.

Read from the services' own database and the marketplace's statement, not from facts: the books do not believe what
a saga says of itself. Claims under way show as differences, so check when a run has ended.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlmodel import SQLModel, select

from contracts.claims import ClaimStatus
from events.database import Database, make_engine
from saga.service import ServiceSettings
from services.claims.store import reading
from services.claims.tables import DATABASE, Claim, Packet, PayoutEntry

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Everything that was written down. `statement`: the marketplace's payouts."""

    claims: list[Claim] = field(default_factory=list)
    payouts: list[PayoutEntry] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    statement: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """`differences` names whatever does not add up. `claimed` less `short` and with `over` is `paid`, of which
    `fees` are ours and `sellers` the sellers'.
    """

    differences: tuple[str, ...]
    claimed: Decimal
    short: Decimal
    over: Decimal
    paid: Decimal
    fees: Decimal
    sellers: Decimal

    @property
    def reconciled(self) -> bool:
        return not self.differences


async def read_ledger(settings: ServiceSettings, statement: Iterable[Mapping[str, Any]]) -> Ledger:
    """What the services have written down, with the marketplace's statement."""
    database = Database(make_engine(settings.url_of(DATABASE.name)))
    try:
        async with reading(database) as session:
            tables: tuple[type[SQLModel], ...] = (Claim, PayoutEntry, Packet)
            rows: list[list[Any]] = [list((await session.exec(select(table))).all()) for table in tables]
    finally:
        await database.close()
    return Ledger(claims=rows[0], payouts=rows[1], packets=rows[2], statement=list(statement))


def compare(ledger: Ledger) -> Books:
    """The books of a ledger."""
    differences = [
        *_statement_differs(ledger),
        *_shares_differ(ledger),
        *_claims_differ(ledger),
        *_packets_differ(ledger),
    ]
    return Books(
        differences=tuple(differences),
        claimed=_sum(one.claimed for one in ledger.payouts),
        short=-_sum(min(one.difference, _NOTHING) for one in ledger.payouts),
        over=_sum(max(one.difference, _NOTHING) for one in ledger.payouts),
        paid=_sum(one.paid for one in ledger.payouts),
        fees=_sum(one.fee or _NOTHING for one in ledger.payouts),
        sellers=_sum(one.seller_share or _NOTHING for one in ledger.payouts),
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, _NOTHING)


def _statement_differs(ledger: Ledger) -> Iterator[str]:
    told = {str(line["payout_id"]): line for line in ledger.statement}
    booked = {one.payout_id: one for one in ledger.payouts}
    counts = Counter(str(line["payout_id"]) for line in ledger.statement)
    yield from (
        f"payout {name}: {count} times on the statement" for name, count in counts.items() if count > 1
    )
    yield from (
        f"payout {name}: on the statement, not booked" for name in sorted(told.keys() - booked.keys())
    )
    yield from (
        f"payout {name}: booked, not on the statement" for name in sorted(booked.keys() - told.keys())
    )
    for name in sorted(told.keys() & booked.keys()):
        line, entry = told[name], booked[name]
        ours = (entry.claim_id, entry.case_id, entry.paid, entry.currency)
        theirs = (
            line["claim_id"], line["case_id"], Decimal(line["amount"]["amount"]), line["amount"]["currency"],
        )  # fmt: skip
        if ours != theirs:
            yield f"payout {name}: booked as {ours}, on the statement as {theirs}"


def _shares_differ(ledger: Ledger) -> Iterator[str]:
    for one in ledger.payouts:
        if one.fee is None or one.seller_share is None:
            yield f"payout {one.payout_id}: not divided"
        elif one.fee + one.seller_share != one.paid:
            yield f"payout {one.payout_id}: {one.fee} and {one.seller_share} are not {one.paid}"
        if one.claimed + one.difference != one.paid:
            yield f"payout {one.payout_id}: {one.claimed} and {one.difference} are not {one.paid}"


def _claims_differ(ledger: Ledger) -> Iterator[str]:
    by_claim: dict[str, list[PayoutEntry]] = defaultdict(list)
    for one in ledger.payouts:
        by_claim[one.claim_id].append(one)
    claims = {claim.claim_id: claim for claim in ledger.claims}
    yield from (f"claim {name}: paid, but unknown" for name in sorted(by_claim.keys() - claims.keys()))
    for name, claim in sorted(claims.items()):
        recovered = claim.status == ClaimStatus.RECOVERED
        if recovered != (name in by_claim):
            yield f"claim {name}: {claim.status}, with {len(by_claim.get(name, []))} payouts"
        if recovered and max((one.claimed for one in by_claim[name]), default=_NOTHING) != claim.amount:
            yield f"claim {name}: {claim.amount} claimed, but not by its first payout"


def _packets_differ(ledger: Ledger) -> Iterator[str]:
    packets = {packet.claim_id: packet for packet in ledger.packets}
    for claim in ledger.claims:
        packet = packets.get(claim.claim_id)
        if claim.status == ClaimStatus.RECOVERED and packet is None:
            yield f"claim {claim.claim_id}: recovered, without a packet"
        if packet is not None and hashlib.sha256(packet.pdf).hexdigest() != packet.sha256:
            yield f"claim {claim.claim_id}: the packet is not the one that was written"
