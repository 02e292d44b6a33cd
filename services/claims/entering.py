"""The order of the phases: an entry counts once, and not before the one it follows. Everything is on the audit trail.

An entry that comes too early is held; the entry it waits for wakes it, whoever made that one. Two processes that
enter at the same time agree, because each takes the locks of its own key and of the one before.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.phases import PhaseEntry
from events.database import Database, one_at_a_time
from saga.action import Refused
from services.claims.tables import Claim, EnteredPhase, HeldEntry, Transition


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An entry that has come, by the saga it started; `step` is where that saga waits."""

    phase: int
    entry: PhaseEntry
    saga_id: str
    step: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Entered:
    """`new` is false if this saga had entered before. `waiting`: who was held until now, as (saga, step)."""

    at: datetime
    new: bool
    waited: bool
    waiting: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """It comes before `after`; nothing is to be done for `left_s` seconds."""

    after: str
    left_s: float


async def enter(session: AsyncSession, arrival: Arrival, patience_s: float) -> Entered | Held:
    """Note that a phase is entered, or that it has to wait.

    Raises Refused if another saga has entered it, if the one before does not come in `patience_s` seconds, or if it
    is about a claim that the account does not have; the audit trail has it then, too, so commit all the same.
    """
    entry = arrival.entry
    for key in (entry.key, entry.after):
        if key is not None:
            await one_at_a_time(session, f"phase {key}")
    known = await session.get(EnteredPhase, entry.key)
    held = await session.get(HeldEntry, arrival.saga_id)
    if known is not None and known.saga_id == arrival.saga_id:
        return Entered(known.at, False, held is not None, await _waiting(session, entry.key))
    if known is not None:
        await _note(session, arrival, "repeated", f"entered by saga {known.saga_id}")
        raise Refused("phase.repeated", f"{entry.key} was entered before, by saga {known.saga_id}")
    if entry.after is not None and await session.get(EnteredPhase, entry.after) is None:
        return await _hold(session, arrival, held, patience_s)
    await _check_claim(session, arrival)
    session.add(EnteredPhase(key=entry.key, phase=arrival.phase, saga_id=arrival.saga_id, at=arrival.at))
    await _note(session, arrival, "entered")
    return Entered(arrival.at, True, held is not None, await _waiting(session, entry.key))


async def _hold(session: AsyncSession, arrival: Arrival, held: HeldEntry | None, patience_s: float) -> Held:
    after = arrival.entry.after or ""
    if held is None:
        held = HeldEntry(saga_id=arrival.saga_id, step=arrival.step, after=after, since=arrival.at)
        session.add(held)
        await _note(session, arrival, "held", f"waits for {after}")
    left = held.since + timedelta(seconds=patience_s) - arrival.at
    if left <= timedelta(0):
        await _note(session, arrival, "out_of_order", f"{after} did not come within {patience_s:g} s")
        raise Refused(
            "phase.out_of_order", f"{arrival.entry.key} follows {after}, which has not been entered"
        )
    return Held(after, left.total_seconds())


async def _check_claim(session: AsyncSession, arrival: Arrival) -> None:
    claim_id = _claim_id(arrival.entry)
    if not claim_id:
        return
    claim = await session.get(Claim, claim_id)
    if claim is None or claim.account_id != arrival.entry.account_id:
        await _note(session, arrival, "refused", "no such claim of the account")
        raise Refused("claim.unknown", f"account {arrival.entry.account_id} has no claim {claim_id}")


def _claim_id(entry: PhaseEntry) -> str:
    return str(getattr(entry, "claim_id", ""))


async def _waiting(session: AsyncSession, key: str) -> list[tuple[str, str]]:
    rows = (await session.exec(select(HeldEntry).where(HeldEntry.after == key))).all()
    entered = select(EnteredPhase.saga_id).where(col(EnteredPhase.saga_id).in_([row.saga_id for row in rows]))
    done = set((await session.exec(entered)).all())
    return [(row.saga_id, row.step) for row in rows if row.saga_id not in done]


async def _note(session: AsyncSession, arrival: Arrival, outcome: str, detail: str = "") -> None:
    """A row of the audit trail; a delivery that comes again adds none."""
    query = select(Transition.number).where(
        Transition.saga_id == arrival.saga_id, Transition.outcome == outcome
    )
    if (await session.exec(query)).first() is not None:
        return
    session.add(
        Transition(
            at=arrival.at, account_id=arrival.entry.account_id,
            claim_id=_claim_id(arrival.entry), phase=arrival.phase, key=arrival.entry.key,
            outcome=outcome, saga_id=arrival.saga_id, detail=detail,
        )
    )  # fmt: skip


async def commit_all_the_same[T](database: Database, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run in a transaction that commits also if it ends in a refusal, which is raised after it."""
    refused = None
    async with database.transaction() as session:
        try:
            return await work(session)
        except Refused as error:
            refused = error
    raise refused
