"""The review queue: cases that wait for a person, and what became of those that did.

A case is opened once per saga and step, and closed once: by a decision, by time, or because its saga turned round.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import and_, col, or_, select

from contracts.chargebacks import Finding, Review, Reviewed
from contracts.failure import NotFound
from events.database import Database, one_at_a_time
from services.chargebacks.tables import ReviewCase

OPEN, CLOSED, WITHDRAWN = "open", "closed", "withdrawn"


@dataclass(frozen=True, slots=True)
class Place:
    """Which step of which saga asks."""

    saga_id: str
    step: str


class Queue:
    """The cases of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self, place: Place, command: Review, findings: tuple[Finding, ...], now: datetime
    ) -> ReviewCase:
        """The case of a step; opened if there was none."""
        async with self._database.transaction() as session:
            await one_at_a_time(session, f"review {place.saga_id} {place.step}")
            case = await session.get(ReviewCase, (place.saga_id, place.step))
            if case is None:
                case = _new(place, command, findings, now)
                session.add(case)
            return case

    async def close(self, place: Place, answer: Reviewed, now: datetime) -> None:
        """Keep how a case ended. What has ended it first counts."""
        async with self._database.transaction() as session:
            case = await session.get(ReviewCase, (place.saga_id, place.step))
            if case is not None and case.state == OPEN:
                case.state, case.answer, case.closed_at = CLOSED, answer.model_dump(mode="json"), now
                case.problem = ""
                session.add(case)

    async def complain(self, place: Place, problem: str) -> None:
        """Say at the case why a signal was no decision."""
        async with self._database.transaction() as session:
            case = await session.get(ReviewCase, (place.saga_id, place.step))
            if case is not None and case.state == OPEN:
                case.problem = problem
                session.add(case)

    async def withdraw(self, place: Place, command: Review, now: datetime) -> None:
        """Take a case from the queue; one that comes late finds it withdrawn."""
        async with self._database.transaction() as session:
            await one_at_a_time(session, f"review {place.saga_id} {place.step}")
            case = await session.get(ReviewCase, (place.saga_id, place.step))
            if case is None:
                case = _new(place, command, (), now)
            case.state, case.closed_at = WITHDRAWN, now
            session.add(case)

    async def get(self, place: Place) -> ReviewCase:
        """Raises NotFound."""
        async with self._database.transaction() as session:
            case = await session.get(ReviewCase, (place.saga_id, place.step))
        if case is None:
            raise NotFound(f"no review of {place.step} of saga {place.saga_id}")
        return case

    async def page(self, state: str, after: tuple[datetime, str] | None, limit: int) -> list[ReviewCase]:
        """Cases in a state, oldest first; `after` is the time and the saga (with its step) of the last one known."""
        query = select(ReviewCase).where(ReviewCase.state == state)
        at, saga_id, step = col(ReviewCase.opened_at), col(ReviewCase.saga_id), col(ReviewCase.step)
        if after is not None:
            moment, (saga, _, name) = after[0], after[1].partition(" ")
            query = query.where(
                or_(
                    at > moment,
                    and_(at == moment, saga_id > saga),
                    and_(at == moment, saga_id == saga, step > name),
                )
            )
        async with self._database.transaction() as session:
            return list((await session.exec(query.order_by(at, saga_id, step).limit(limit))).all())


def _new(place: Place, command: Review, findings: tuple[Finding, ...], now: datetime) -> ReviewCase:
    shown: dict[str, Any] = command.model_dump(mode="json", include={"claim", "draft", "metadata"})
    return ReviewCase(
        saga_id=place.saga_id,
        step=place.step,
        state=OPEN,
        reference=command.reference,
        name=command.name,
        shown=shown | {"findings": [finding.model_dump(mode="json") for finding in findings]},
        opened_at=now,
        due_at=now + timedelta(seconds=command.timeout_s),
    )
