"""The ledger of children: one transaction for every word about them, so that each counts once.

Whoever reports a child's end claims the next one in the same transaction and starts it after the commit. If it
dies in between, its delivery comes again and starts what it had claimed: a start that comes twice is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.children import child_saga_id
from events.database import Database, one_at_a_time
from services.integrations.children.tables import Child, Family

IN_FLIGHT = "started"
_DIRTY = ("started", "succeeded")


@dataclass(frozen=True, slots=True)
class PlannedChild:
    """`input` is what it has of its own; what all share is added when it starts."""

    definition: str
    input: dict[str, Any]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The children of a step. `needed` successes satisfy it; more than `tolerated` failures fail it."""

    children: Sequence[PlannedChild]
    limit: int
    needed: int
    tolerated: int
    shared: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What follows from a child's end: which to start, and whether the step is to be woken."""

    family: Family
    start: list[Child] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.family.state != "open"


class Ledger:
    """The ledger over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, key: str, saga_id: str, step: str, plan: Plan, now: datetime) -> Family:
        """The family of a step, made (and its first children claimed) if there is none yet."""
        async with self._database.transaction() as session:
            family = await _locked(session, key)
            if family is not None:
                return family
            family = Family(
                key=key,
                saga_id=saga_id,
                step=step,
                shared=plan.shared,
                total=len(plan.children),
                needed=plan.needed,
                tolerated=plan.tolerated,
                next=min(plan.limit, len(plan.children)),
                begun_at=now,
            )
            family.state = _judged(family)
            session.add(family)
            await session.flush()
            if plan.children:
                await (await session.connection()).execute(
                    insert(Child), [_row(family, number, child) for number, child in enumerate(plan.children)]
                )
            return family

    async def report(
        self, saga_id: str, *, output: Any = None, failure: dict[str, Any] | None = None
    ) -> Report | None:
        """Note that a child has completed with an output, or has failed and nothing is left of it.

        None if the saga is nobody's child.
        """
        query = (
            select(Family, Child)
            .join(Child, col(Child.key) == col(Family.key))
            .where(Child.saga_id == saga_id)
            .with_for_update()
        )
        async with self._database.transaction() as session:
            found = (await session.exec(query)).one_or_none()
            if found is None:
                return None
            family, child = found
            counts = child.state == IN_FLIGHT and (failure is None or family.state == "open")
            if counts and failure is None:
                child.state, child.output = "succeeded", output
                family.succeeded += 1
            elif counts:
                child.state, child.failure = "failed", failure
                family.failed += 1
            elif failure is not None and child.state not in ("failed", "undone"):
                child.state = "undone"
            return Report(family, await _following(session, family, child, counts))

    async def children(self, key: str, *states: str, limit: int | None = None) -> list[Child]:
        """The children of a step in these states (any, without), in their order."""
        query = select(Child).where(Child.key == key).order_by(col(Child.number))
        if states:
            query = query.where(col(Child.state).in_(states))
        async with self._database.transaction() as session:
            return list((await session.exec(query.limit(limit) if limit else query)).all())

    async def undo(self, key: str, saga_id: str, step: str, now: datetime) -> Family:
        """From now on nothing of the family starts. Where there is none yet, none will be."""
        async with self._database.transaction() as session:
            family = await _locked(session, key)
            if family is None:
                family = Family(
                    key=key, saga_id=saga_id, step=step, total=0, needed=0, tolerated=0, begun_at=now
                )
            family.undoing_at = family.undoing_at or now
            family.state = "undoing"
            session.add(family)
            return family

    async def live(self, key: str, limit: int) -> list[Child]:
        """Children that may have effects and have not been turned round yet."""
        return await self.children(key, *_DIRTY, limit=limit)

    async def turned_round(self, children: Sequence[Child]) -> None:
        """Note that these are being undone, unless that is over already."""
        if not children:
            return
        async with self._database.transaction() as session:
            await (await session.connection()).execute(
                update(Child)
                .where(
                    col(Child.key) == children[0].key,
                    col(Child.number).in_([child.number for child in children]),
                    col(Child.state).in_(_DIRTY),
                )
                .values(state="undoing")
            )

    async def left(self, key: str) -> int:
        """How many children are being undone."""
        query = select(func.count()).where(Child.key == key, Child.state == "undoing")
        async with self._database.transaction() as session:
            return (await session.exec(query)).one()


def _judged(family: Family) -> str:
    if family.succeeded >= family.needed:
        return "satisfied"
    if family.failed > family.tolerated:
        return "failed"
    # Where failures are tolerated, all that can still be had is had when all have ended.
    return "satisfied" if family.succeeded + family.failed == family.total else "open"


async def _following(session: AsyncSession, family: Family, ended: Child, counts: bool) -> list[Child]:
    """Whom this end has let start: one, if it counts for the first time, else those it had claimed before."""
    if not counts:
        claimed = select(Child).where(
            Child.key == ended.key, Child.claimed_by == ended.number, Child.state == IN_FLIGHT
        )
        return list((await session.exec(claimed)).all())
    if family.state != "open":
        return []
    family.state = _judged(family)
    if family.state != "open" or family.next >= family.total:
        return []
    following = await session.get(Child, (family.key, family.next))
    if following is None:
        raise AssertionError(f"family {family.key} has no child {family.next}")
    following.state, following.claimed_by = IN_FLIGHT, ended.number
    family.next += 1
    return [following]


async def _locked(session: AsyncSession, key: str) -> Family | None:
    await one_at_a_time(session, f"family {key}")
    return await session.get(Family, key, with_for_update=True, populate_existing=True)


def _row(family: Family, number: int, child: PlannedChild) -> dict[str, Any]:
    return {
        "key": family.key,
        "number": number,
        "saga_id": child_saga_id(family.saga_id, family.step, number),
        "name": child.name,
        "definition": child.definition,
        "input": child.input,
        "state": IN_FLIGHT if number < family.next and family.state == "open" else "pending",
    }
