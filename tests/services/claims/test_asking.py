"""Asking the seller and following a case, with the clock moved by hand: a repeat asks and tells nothing twice."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import select

from contracts.claims import AskSeller, ClaimStatus, TrackClaim
from contracts.events import EventMessage
from contracts.ids import new_saga_id
from events.outbox import MESSAGES
from saga.action import Action
from saga.execution import Attempt, Done, Suspended, attempt_to_do
from saga.waits import Waits
from services.claims.steps.ask_seller import ask_seller
from services.claims.steps.track_claim import track_claim
from services.claims.tables import CaseChange, Claim, Connection, Question
from services.sandboxes.marketplace import Marketplace, serve_marketplace
from tests.services.claims.kit import ACCOUNT, DAY, SKU, WORTH, a_case, marketplace
from tests.services.steps import Steps, open_steps

CLAIM = "C-0000000000000001"
COMMAND = AskSeller(claim_id=CLAIM)
DAYS = timedelta(days=1)


@dataclass
class Office:
    """The steps with one claim, and the marketplace."""

    steps: Steps
    market: Marketplace
    saga_id: str

    async def tries(self, action: Action, command: Any) -> Attempt:
        """One delivery of the step: its handler from its beginning."""
        context, _ = await self.steps._context(action, self.saga_id, 1)
        context.waits = Waits(self.steps.now)
        return await attempt_to_do(action, context, command, None, 20)

    async def waits_s(self, action: Action, command: Any) -> float:
        """A delivery that ends in waiting: for how many seconds at most."""
        end = await self.tries(action, command)
        assert isinstance(end, Suspended), end
        assert end.wait.until is not None
        return round((end.wait.until - self.steps.now()).total_seconds())

    async def said(self) -> list[str]:
        """The kinds of what the seller was told."""
        database = await self.steps.database(ask_seller)
        async with database.transaction() as session:
            query = select(MESSAGES.c.payload).order_by(MESSAGES.c.number)
            rows = (await (await session.connection()).execute(query)).all()
        return [str(EventMessage.decode(row.payload).data["kind"]) for row in rows]

    async def status(self) -> str:
        (claim,) = await self.steps.rows(ask_seller, select(Claim))
        return str(claim.status)

    async def answer(self, answer: str) -> None:
        database = await self.steps.database(ask_seller)
        async with database.transaction() as session:
            question = (await session.exec(select(Question))).one()
            question.answer = answer
            session.add(question)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    market = marketplace((1, "pays"))
    market.tokens.add("token-1")
    async with serve_marketplace(market), open_steps(tmp_path / "data") as steps:
        steps.environment = {"SAGA_MARKETPLACE_URL": market.url}
        database = await steps.database(ask_seller)
        async with database.transaction() as session:
            session.add(Connection(account_id=ACCOUNT, token="token-1"))
            session.add(
                Claim(
                    claim_id=CLAIM, account_id=ACCOUNT, run="1", kind="lost_inventory", sku=SKU, quantity=1,
                    amount=WORTH, currency="USD", on=DAY, records=["A-1"], status=ClaimStatus.MATCHED.value,
                    confidence=80, updated_at=steps.now(),
                )
            )  # fmt: skip
        yield Office(steps, market, new_saga_id())


async def test_a_question_is_asked_once_and_repeated_every_two_days(office: Office) -> None:
    assert await office.waits_s(ask_seller, COMMAND) == 2 * 86_400
    assert await office.waits_s(ask_seller, COMMAND) == 2 * 86_400
    assert (await office.said(), await office.status()) == (["question"], ClaimStatus.ASKED)
    office.steps.skew = 2 * DAYS
    for _ in range(2):
        assert await office.waits_s(ask_seller, COMMAND) == 2 * 86_400
    assert await office.said() == ["question", "reminder"]


async def test_without_an_answer_in_a_fortnight_it_is_not_claimed(office: Office) -> None:
    await office.waits_s(ask_seller, COMMAND)
    office.steps.skew = 13 * DAYS
    assert await office.waits_s(ask_seller, COMMAND) == 86_400
    assert await office.said() == ["question", "reminder"]
    office.steps.skew = 14 * DAYS
    for _ in range(2):
        end = await office.tries(ask_seller, COMMAND)
        assert isinstance(end, Done)
        assert (end.output or {})["answer"] == "expired"
    assert (await office.said())[-1] == "question_expired"
    assert (await office.said()).count("question_expired") == 1
    assert await office.status() == ClaimStatus.EXPIRED


@pytest.mark.parametrize(
    ("answer", "status"), [("submit", ClaimStatus.ASKED), ("decline", ClaimStatus.DECLINED)]
)
async def test_an_answer_ends_the_wait_also_when_it_comes_late(
    office: Office, answer: str, status: str
) -> None:
    await office.waits_s(ask_seller, COMMAND)
    await office.answer(answer)
    office.steps.skew = 20 * DAYS
    end = await office.tries(ask_seller, COMMAND)
    assert isinstance(end, Done)
    assert end.output == {"answer": answer, "reminders": 0}
    assert await office.status() == status


async def test_every_status_of_a_case_is_told_once(office: Office) -> None:
    office.market.cases.think_s = 3600
    case = office.market.cases.open("key", a_case())
    command = TrackClaim(claim_id=CLAIM, submission=1, case_id=case.case_id)
    for _ in range(2):
        assert await office.waits_s(track_claim, command) == 3600
    office.market.cases._change(case.case_id, "rejected", reason="no")
    for _ in range(2):
        end = await office.tries(track_claim, command)
        assert isinstance(end, Done)
        assert end.output == {"outcome": "rejected", "reason": "no", "payout": None}
    assert await office.said() == ["case_status", "case_status"]
    (seen,) = await office.steps.rows(track_claim, select(func.count()).select_from(CaseChange))
    assert seen == 2
