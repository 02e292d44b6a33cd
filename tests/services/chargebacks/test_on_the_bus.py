"""Whole chargebacks through the bus, the participants, real databases and real HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from contracts.chargebacks import ChargebackDocument
from contracts.definition import SagaDefinition
from contracts.directives import Directives
from contracts.facts import FactKind
from contracts.failure import NotFound
from events.clock import utc_now
from events.database import Database, make_engine
from saga.client import StartOptions
from saga.domains import domain_actions
from saga.service import ServiceSettings, serve
from saga.state import SagaState, SagaStatus, StepStatus
from services.chargebacks.definitions import CHARGEBACK
from services.chargebacks.queue import Place, Queue
from services.chargebacks.tables import KnownClaim, Resolution, ReviewCase, TrailDocument
from services.sandboxes.federal import Federal
from services.sandboxes.federal import Mood as FederalMood
from services.sandboxes.sap import Mood, SapBooks
from tests.services.chargebacks.claims import a_claim, a_document, a_line, written
from tests.world import Running

APPROVE = {"decision": "approve", "reviewer": "ada"}
REJECT = {"decision": "reject", "reviewer": "grace", "reason": "no"}
CONTROLLED = {"contract": "PREM-2240", "lines": [a_line("0641-6125-25", 10, "87.35", "62.02")]}


def hasty() -> SagaDefinition:
    """The shipped definition, with little patience for who is away."""
    quick = {"kind": "fixed", "max_attempts": 2, "delay_s": 0.05}
    content = CHARGEBACK.model_dump(mode="json") | {"name": "chargeback-hasty"}
    for step in content["steps"]:
        step["retry"] = quick if step["name"] != "chargeback_resolution" else {"kind": "none"}
    return SagaDefinition.model_validate(content)


HASTY = hasty()


@dataclass
class Desk:
    """The services on a bus, and the review queue beside them. `skew` moves the services' clock."""

    running: Running
    queue: Queue
    skew: timedelta = field(default=timedelta())

    def now(self) -> datetime:
        return utc_now().astimezone(UTC) + self.skew

    async def send(self, document: ChargebackDocument, *, dry_run: bool = False) -> str:
        options = StartOptions(directives=Directives(dry_run=dry_run))
        started = await self.running.client.start(HASTY.ref, document.model_dump(mode="json"), options)
        return started.saga_id

    async def ended(self, saga_id: str) -> SagaState:
        return await self.running.ended(HASTY, saga_id)

    async def asked(self, saga_id: str, step: str, after: int = 0) -> ReviewCase:
        """The case of a step, once it waits for a person; `after` a fact of that sequence."""

        def waits(state: SagaState) -> bool:
            found = state.steps[step]
            return found.status == StepStatus.SUSPENDED and found.sequence > after

        await self.running.until(HASTY, saga_id, waits)
        return await self.queue.get(Place(saga_id, step))

    async def decide(self, saga_id: str, step: str, payload: dict[str, Any]) -> int:
        """Give the step a signal; the sequence of the fact."""
        return await self.running.client.signal(saga_id, step, payload, by="test")

    async def said(self, saga_id: str) -> dict[str, Any]:
        """What every step has stated."""
        facts = [one.fact for one in await self.running.facts(saga_id)]
        completed = [fact for fact in facts if fact.kind == FactKind.COMPLETED]
        return {fact.subject: fact.data["output"] for fact in completed if fact.data.get("output")}


@pytest.fixture
async def desk(running: Running, data: Path, sap: SapBooks, federal_database: Federal) -> AsyncIterator[Desk]:
    settings = ServiceSettings(data=data, grace_s=0)
    environment = {"SAGA_SAP_URL": sap.url, "SAGA_FEDERAL_URL": federal_database.url}
    database = Database(make_engine(settings.url_of("review")))
    desk = Desk(running, Queue(database))
    await running.publish(HASTY)
    actions = domain_actions("chargebacks")
    async with serve(
        actions, running.bus, running.definitions, settings, environment=environment, clock=desk.now
    ):
        yield desk
    await database.close()


def a_memo(**changes: Any) -> ChargebackDocument:
    return a_document(written(a_claim(**changes)))


async def test_a_claim_that_is_right_is_credited_without_anybody(desk: Desk, sap: SapBooks) -> None:
    saga_id = await desk.send(a_memo(**CONTROLLED))
    state = await desk.ended(saga_id)
    assert state.status == SagaStatus.COMPLETED
    assert {step.status for step in state.steps.values()} == {StepStatus.COMPLETED}
    said = await desk.said(saga_id)
    resolved = said["chargeback_resolution"]
    assert (resolved["status"], resolved["credited"]["amount"]) == (
        "credited",
        str(a_claim(**CONTROLLED).total),
    )
    assert [memo.state for memo in sap.memos.values()] == ["posted"]
    with pytest.raises(NotFound):
        await desk.queue.get(Place(saga_id, "review_checks"))


async def test_a_dry_run_checks_everything_and_credits_nothing(desk: Desk, sap: SapBooks, data: Path) -> None:
    for _ in range(2):
        # The second is no duplicate: the first has left nothing.
        saga_id = await desk.send(a_memo(**CONTROLLED), dry_run=True)
        state = await desk.ended(saga_id)
        assert {step.status for step in state.steps.values()} == {StepStatus.COMPLETED}
        resolved = (await desk.said(saga_id))["chargeback_resolution"]
        assert (resolved["status"], resolved["credit_memo"][:10]) == ("credited", "rehearsal-")
    assert (sap.customers, sap.memos) == ({}, {})
    for table, name in (
        (KnownClaim, "duplicate_check"),
        (Resolution, "chargeback_resolution"),
        (TrailDocument, "compliance_trail"),
    ):
        database = Database(make_engine(ServiceSettings(data=data).url_of(name)))
        async with database.transaction() as session:
            assert (await session.exec(select(table))).all() == []
        await database.close()


async def test_a_dry_run_ends_where_a_person_would_have_to_decide(desk: Desk) -> None:
    unread = a_document(written(a_claim()).replace("Contract no.      PREM-2231\n", ""))
    saga_id = await desk.send(unread, dry_run=True)
    state = await desk.ended(saga_id)
    failure = state.steps["review_extraction"].failure
    assert failure is not None
    assert (failure["code"], "extraction.missing" in failure["message"]) == ("review.needs_a_person", True)
    with pytest.raises(NotFound):
        await desk.queue.get(Place(saga_id, "review_extraction"))


async def test_what_was_said_of_a_claim_goes_from_step_to_step(desk: Desk) -> None:
    saga_id = await desk.send(a_memo(**CONTROLLED))
    await desk.ended(saga_id)
    metadata = (await desk.said(saga_id))["chargeback_resolution"]["metadata"]
    assert metadata.items() >= {
        "batch": "b1", "extracted_by": "rules", "claim": "DM-204137", "contract_kind": "gpo",
        "roster_member": "PA-1001", "federal_number": "AS4395631",
    }.items()  # fmt: skip
    assert metadata.keys() >= {"sap_customer", "credit_memo"}


async def test_steps_that_are_not_due_are_skipped(desk: Desk, sap: SapBooks) -> None:
    saga_id = await desk.send(a_memo(contract="X-99"))
    state = await desk.ended(saga_id)
    skipped = {name for name, step in state.steps.items() if step.status == StepStatus.SKIPPED}
    assert skipped == {"gpo_roster_validation", "federal_db_validation", "sap_customer_creation"}
    assert (await desk.said(saga_id))["chargeback_resolution"]["reasons"] == ["contract.unknown"]
    assert (sap.customers, sap.memos) == ({}, {})


async def test_a_person_completes_what_could_not_be_read(desk: Desk) -> None:
    saga_id = await desk.send(a_document(written(a_claim()).replace("Contract no.      PREM-2231\n", "")))
    case = await desk.asked(saga_id, "review_extraction")
    assert [finding["place"] for finding in case.shown["findings"]] == ["/contract"]
    assert case.shown["draft"]["claim_number"] == "DM-204137"
    # What is no whole claim leaves the case open, and says why; the next signal counts.
    signal = await desk.decide(saga_id, "review_extraction", APPROVE | {"corrections": {"contract": "?"}})
    case = await desk.asked(saga_id, "review_extraction", after=signal)
    assert (case.state, "contract" in case.problem) == ("open", True)
    await desk.decide(saga_id, "review_extraction", APPROVE | {"corrections": {"contract": "PREM-2231"}})
    assert (await desk.ended(saga_id)).status == SagaStatus.COMPLETED
    assert (await desk.said(saga_id))["chargeback_resolution"]["status"] == "credited"
    closed = await desk.queue.get(Place(saga_id, "review_extraction"))
    assert (closed.state, closed.answer["reviewer"]) == ("closed", "ada")  # type: ignore[index]


async def test_what_nobody_can_read_may_be_rejected(desk: Desk) -> None:
    saga_id = await desk.send(a_document("no claim at all"))
    await desk.asked(saga_id, "review_extraction")
    await desk.decide(saga_id, "review_extraction", REJECT)
    assert (await desk.ended(saga_id)).status == SagaStatus.COMPLETED
    resolved = (await desk.said(saga_id))["chargeback_resolution"]
    assert (resolved["status"], resolved["reasons"]) == ("denied", ["review.rejected"])


async def test_a_federal_database_that_stays_away_sends_the_claim_to_a_person(
    desk: Desk, federal_database: Federal
) -> None:
    federal_database.mood = FederalMood(down=True)
    saga_id = await desk.send(a_memo(**CONTROLLED))
    case = await desk.asked(saga_id, "review_checks")
    assert [finding["code"] for finding in case.shown["findings"]] == ["check.unanswered"]
    await desk.decide(saga_id, "review_checks", APPROVE)
    state = await desk.ended(saga_id)
    assert (state.status, state.steps["federal_db_validation"].status) == (
        SagaStatus.COMPLETED,
        StepStatus.FAILED,
    )
    said = await desk.said(saga_id)
    assert said["chargeback_resolution"]["status"] == "credited"


async def test_a_review_that_nobody_answers_expires_and_denies(desk: Desk, sap: SapBooks) -> None:
    saga_id = await desk.send(a_memo(customer="Zenith Trading"))
    await desk.asked(saga_id, "review_checks")
    desk.skew = timedelta(days=7, seconds=1)
    # Time is over, and what wakes the step now is no decision.
    await desk.decide(saga_id, "review_checks", {})
    await desk.ended(saga_id)
    resolved = (await desk.said(saga_id))["chargeback_resolution"]
    assert (resolved["status"], resolved["reasons"]) == ("denied", ["review.expired"])
    assert sap.memos == {}


async def test_a_saga_that_is_cancelled_takes_its_case_from_the_queue(desk: Desk) -> None:
    saga_id = await desk.send(a_memo(customer="Zenith Trading"))
    await desk.asked(saga_id, "review_checks")
    await desk.running.client.cancel(saga_id, reason="sent by mistake", by="test")
    state = await desk.ended(saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert (await desk.queue.get(Place(saga_id, "review_checks"))).state == "withdrawn"
    # The claim is forgotten, so that it may come again.
    again = await desk.send(a_memo())
    assert (await desk.ended(again)).status == SagaStatus.COMPLETED
    assert (await desk.said(again))["duplicate_check"]["status"] == "new"


async def test_when_sap_refuses_the_credit_the_customer_and_the_claim_go_back(
    desk: Desk, sap: SapBooks
) -> None:
    sap.mood = Mood(period_closed=True)
    saga_id = await desk.send(a_memo())
    state = await desk.ended(saga_id)
    assert state.abort is not None
    assert (state.status, state.abort["step"]) == (SagaStatus.COMPENSATED, "chargeback_resolution")
    undone = {
        one.fact.subject for one in await desk.running.facts(saga_id) if one.fact.kind == FactKind.COMPENSATED
    }
    assert undone == {"sap_customer_creation", "review_checks", "duplicate_check", "review_extraction"}
    assert [customer.flagged for customer in sap.customers.values()] == [True]
    sap.mood = Mood()
    again = await desk.send(a_memo())
    assert (await desk.ended(again)).status == SagaStatus.COMPLETED
    assert [customer.flagged for customer in sap.customers.values()] == [False]


async def test_a_credit_that_may_have_been_posted_is_reversed(desk: Desk, sap: SapBooks) -> None:
    sap.mood = Mood(lost_answers=("DOC-1",))
    saga_id = await desk.send(a_memo())
    state = await desk.ended(saga_id)
    assert state.status == SagaStatus.COMPENSATED
    assert [memo.state for memo in sap.memos.values()] == ["reversed"]
