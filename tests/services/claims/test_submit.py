"""Submitting and withdrawing a claim, under the guard, on a real database, with a marketplace over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlmodel import select

from contracts.claims import ClaimStatus, SubmitClaim
from contracts.ids import new_saga_id
from saga.execution import Done, Gone
from services.claims.steps.submit_claim import submit_claim
from services.claims.tables import Claim, Connection, Evidence
from services.sandboxes.marketplace import Marketplace, serve_marketplace
from tests.services.claims.kit import ACCOUNT, DAY, SKU, WORTH, marketplace
from tests.services.steps import Steps, open_steps

COMMAND = SubmitClaim(claim_id="C-0000000000000001")


@dataclass
class Desk:
    """The step with a claim that is ready to be submitted."""

    steps: Steps
    market: Marketplace

    async def claim(self) -> Claim:
        (claim,) = await self.steps.rows(submit_claim, select(Claim))
        assert isinstance(claim, Claim)
        return claim

    @property
    def cases(self) -> list[str]:
        return [case.status for case in self.market.cases.all()]

    async def decided(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self.market.cases._deciding)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    market = marketplace((1, "pays"))
    market.cases.think_s = 0.2
    market.tokens.add("token-1")
    async with serve_marketplace(market), open_steps(tmp_path / "data") as steps:
        steps.environment = {"SAGA_MARKETPLACE_URL": market.url}
        database = await steps.database(submit_claim)
        async with database.transaction() as session:
            session.add(Connection(account_id=ACCOUNT, token="token-1"))
            session.add(
                Claim(
                    claim_id=COMMAND.claim_id, account_id=ACCOUNT, run="1", kind="lost_inventory", sku=SKU,
                    quantity=1, amount=WORTH, currency="USD", on=DAY, records=["A-1"],
                    status=ClaimStatus.MATCHED.value, confidence=100, updated_at=steps.now(),
                )
            )  # fmt: skip
            session.add(
                Evidence(
                    claim_id=COMMAND.claim_id, invoice_id="I-1", account_id=ACCOUNT, sha256=f"{1:064x}", quantity=1,
                    score=100, parts=[],
                )
            )  # fmt: skip
        yield Desk(steps, market)


async def test_a_claim_is_submitted_once_however_often_it_is_tried(desk: Desk) -> None:
    saga_id = new_saga_id()
    first = await desk.steps.done(submit_claim, COMMAND, saga_id)
    again = await desk.steps.done(submit_claim, COMMAND, saga_id)
    assert first == again
    assert (first.submission, first.case_id, first.documents, len(desk.cases)) == (1, "K-00001", 1, 1)
    claim = await desk.claim()
    assert (claim.status, claim.case_id) == (ClaimStatus.SUBMITTED, "K-00001")


async def test_the_undo_withdraws_the_case(desk: Desk) -> None:
    saga_id = new_saga_id()
    await desk.steps.done(submit_claim, COMMAND, saga_id)
    for _ in range(2):
        assert isinstance(await desk.steps.undo(submit_claim, COMMAND, saga_id), Done)
    await desk.decided()
    assert (desk.cases, (await desk.claim()).status) == (["withdrawn"], ClaimStatus.WITHDRAWN)


async def test_what_was_undone_before_it_came_never_becomes_a_case(desk: Desk) -> None:
    saga_id = new_saga_id()
    await desk.steps.undo(submit_claim, COMMAND, saga_id)
    assert isinstance(await desk.steps.do(submit_claim, COMMAND, saga_id), Gone)
    assert desk.cases == []


async def test_a_case_that_is_decided_stays_what_it_is(desk: Desk) -> None:
    saga_id = new_saga_id()
    await desk.steps.done(submit_claim, COMMAND, saga_id)
    await desk.decided()
    await desk.steps.undo(submit_claim, COMMAND, saga_id)
    assert (desk.cases, (await desk.claim()).status) == (["paid"], ClaimStatus.SUBMITTED)


async def test_an_outage_and_a_refusal_are_told_apart(desk: Desk) -> None:
    desk.market.down = True
    assert await desk.steps.refused(submit_claim, COMMAND, new_saga_id()) == "marketplace.unavailable"
    desk.market.down = False
    desk.market.tokens.clear()
    assert await desk.steps.refused(submit_claim, COMMAND, new_saga_id()) == "marketplace.access_denied"
    unknown = SubmitClaim(claim_id="C-000000000000000F")
    assert await desk.steps.refused(submit_claim, unknown, new_saga_id()) == "claim.unknown"
    assert desk.cases == []


async def test_a_marketplace_that_is_away_or_not_set_had_no_effect(desk: Desk, tmp_path: Path) -> None:
    async with serve_marketplace(marketplace()) as gone:
        url = gone.url
    for there, code in ((url, "marketplace.unreachable"), ("", "marketplace.not_set")):
        desk.steps.environment = {"SAGA_MARKETPLACE_URL": there}
        assert await desk.steps.refused(submit_claim, COMMAND, new_saga_id()) == code
