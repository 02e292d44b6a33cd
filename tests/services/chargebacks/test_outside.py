"""SAP and the federal database over real HTTP: once per key, whatever is lost, late or down."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from contracts.breakers import BreakerConfig
from contracts.chargebacks import CreateSapCustomer, ResolveChargeback, ValidateFederal
from contracts.events import EventMessage
from contracts.ids import new_saga_id
from events.outbox import MESSAGES
from saga.breaker import Breakers
from saga.execution import Deferred, Done, Failed, Gone, attempt_to_do, counts_against
from services.chargebacks.ports import Sap
from services.chargebacks.sap_client import sap_client
from services.chargebacks.steps.chargeback_resolution import chargeback_resolution
from services.chargebacks.steps.federal_db_validation import federal_db_validation
from services.chargebacks.steps.sap_customer_creation import customer_of, sap_customer_creation
from services.chargebacks.tables import Resolution
from services.sandboxes.federal import Federal
from services.sandboxes.federal import Mood as FederalMood
from services.sandboxes.sap import Mood, SapBooks
from tests.services.chargebacks.claims import a_claim, codes
from tests.services.steps import Steps, open_steps

CUSTOMER = CreateSapCustomer(claim=a_claim(), metadata={"batch": "b1"})


@pytest.fixture
def saga_id() -> str:
    return new_saga_id()


def to_look_up(kind: Any = "gpo", **changes: Any) -> ValidateFederal:
    return ValidateFederal(claim=a_claim(**changes), kind=kind)


async def to_credit(steps: Steps, saga_id: str, reference: str = "DOC-1") -> ResolveChargeback:
    """A decision to credit the claim to a customer that SAP has."""
    customer = await steps.done(sap_customer_creation, CUSTOMER, saga_id)
    claim = a_claim()
    lines = [{"ndc": line.ndc, "claimed": line.amount, "eligible": line.amount} for line in claim.lines]
    return ResolveChargeback.model_validate({
        "reference": reference, "claim": claim, "payable": True, "eligible": claim.total, "lines": lines,
        "customer_number": customer.customer_number, "findings": [], "metadata": {},
    })  # fmt: skip


async def told(steps: Steps) -> list[str]:
    """The events of decisions in the outbox."""
    database = await steps.database(chargeback_resolution)
    async with database.transaction() as session:
        rows = (
            await (await session.connection()).execute(select(MESSAGES.c.payload).order_by(MESSAGES.c.number))
        ).all()
    return [EventMessage.decode(row.payload).type for row in rows]


async def test_a_customer_is_created_once_and_then_exists(steps: Steps, sap: SapBooks, saga_id: str) -> None:
    first = await steps.done(sap_customer_creation, CUSTOMER, saga_id)
    assert (first.status, first.metadata["sap_customer"]) == ("created", first.customer_number)
    assert await steps.done(sap_customer_creation, CUSTOMER, saga_id) == first
    other = await steps.done(sap_customer_creation, CUSTOMER, new_saga_id())
    assert (other.status, other.customer_number) == ("existing", first.customer_number)
    assert len(sap.customers) == 1


async def test_a_customer_goes_with_the_last_who_needs_it(steps: Steps, sap: SapBooks) -> None:
    one, other = new_saga_id(), new_saga_id()
    for saga in (one, other):
        await steps.done(sap_customer_creation, CUSTOMER, saga)
    (customer,) = sap.customers.values()
    for saga, flagged in ((one, False), (other, True)):
        assert await steps.undo(sap_customer_creation, CUSTOMER, saga) == Done(None)
        assert customer.flagged is flagged


async def test_a_withdrawal_that_comes_first_bars_the_customer(
    steps: Steps, sap: SapBooks, saga_id: str
) -> None:
    async with sap_client(steps.environment) as client:
        await client.withdraw_customer(f"{saga_id}.sap_customer_creation")
    assert await steps.refused(sap_customer_creation, CUSTOMER, saga_id) == "sap.refused"


def test_a_customer_is_known_by_its_strongest_number() -> None:
    assert customer_of(a_claim()).external_id == "AS4395631"
    assert customer_of(a_claim(customer_dea=None)).external_id == "5DEGZD8PC"
    assert (
        customer_of(a_claim(customer_dea=None, customer_hin=None)).external_id
        == "saint anne regional hospital"
    )


async def test_a_credit_is_posted_told_reversed_and_told_once_each(
    steps: Steps, sap: SapBooks, saga_id: str
) -> None:
    command = await to_credit(steps, saga_id)
    first = await steps.done(chargeback_resolution, command, saga_id)
    assert await steps.done(chargeback_resolution, command, saga_id) == first
    (memo,) = sap.memos.values()
    assert (memo.state, memo.number, memo.amount) == ("posted", first.credit_memo, a_claim().total)
    for _ in range(2):
        assert await steps.undo(chargeback_resolution, command, saga_id) == Done(None)
    assert memo.state == "reversed"
    assert await told(steps) == ["chargebacks.resolved", "chargebacks.reversed"]
    (row,) = await steps.rows(chargeback_resolution, select(Resolution))
    assert (row.outcome, row.state) == ("credited", "reversed")


async def test_a_lost_answer_credits_once(steps: Steps, sap: SapBooks, saga_id: str) -> None:
    sap.mood = Mood(lost_answers=("DOC-1",))
    command = await to_credit(steps, saga_id)
    lost = await steps.do(chargeback_resolution, command, saga_id)
    assert isinstance(lost, Failed)
    assert (lost.failure.effect, lost.failure.retryable) == ("unknown", True)
    await steps.done(chargeback_resolution, command, saga_id)
    assert [memo.state for memo in sap.memos.values()] == ["posted"]
    assert await told(steps) == ["chargebacks.resolved"]


async def test_a_credit_whose_answer_was_lost_is_reversed_and_nothing_is_told(
    steps: Steps, sap: SapBooks, saga_id: str
) -> None:
    sap.mood = Mood(lost_answers=("DOC-1",))
    command = await to_credit(steps, saga_id)
    await steps.do(chargeback_resolution, command, saga_id)
    assert await steps.undo(chargeback_resolution, command, saga_id) == Done(None)
    assert [memo.state for memo in sap.memos.values()] == ["reversed"]
    assert await told(steps) == []


async def test_an_undo_that_crashed_before_its_tombstone_tells_once(steps: Steps, saga_id: str) -> None:
    command = await to_credit(steps, saga_id)
    await steps.done(chargeback_resolution, command, saga_id)
    ctx, _ = await steps._context(chargeback_resolution, saga_id, 1)
    assert chargeback_resolution.undo is not None
    for _ in range(2):
        await chargeback_resolution.undo(ctx, command, None)
    assert await told(steps) == ["chargebacks.resolved", "chargebacks.reversed"]


class Paused:
    """SAP, for a worker that is paused between its answer and what comes next; meanwhile the step is undone."""

    def __init__(self, sap: Sap, undo: Callable[[], Awaitable[object]]) -> None:
        self._sap = sap
        self._undo = undo

    async def credit(self, *asked: Any) -> str:
        number = await self._sap.credit(*asked)
        await self._undo()
        return number


async def test_a_worker_that_was_paused_beyond_its_undo_tells_nothing(
    steps: Steps, sap: SapBooks, saga_id: str
) -> None:
    command = await to_credit(steps, saga_id)
    ctx, inbox = await steps._context(chargeback_resolution, saga_id, 1)
    ctx.resource = Paused(ctx.resource, lambda: steps.undo(chargeback_resolution, command, saga_id))
    assert await attempt_to_do(chargeback_resolution, ctx, command, inbox, 20) == Gone()
    assert [memo.state for memo in sap.memos.values()] == ["reversed"]
    assert await told(steps) == []
    (row,) = await steps.rows(chargeback_resolution, select(Resolution))
    assert row.state == "reversed"


async def test_what_is_denied_asks_nothing_of_sap(steps: Steps, sap: SapBooks, saga_id: str) -> None:
    command = (await to_credit(steps, saga_id)).model_copy(update={"payable": False})
    sap.mood = Mood(down=True)
    denied = await steps.done(chargeback_resolution, command, saga_id)
    assert (denied.status, denied.credited.amount, denied.credit_memo) == ("denied", 0, None)
    assert await steps.undo(chargeback_resolution, command, saga_id) == Done(None)
    assert sap.memos == {}


async def test_without_a_customer_nothing_can_be_credited(steps: Steps, saga_id: str) -> None:
    command = (await to_credit(steps, saga_id)).model_copy(update={"customer_number": None})
    assert await steps.refused(chargeback_resolution, command, saga_id) == "chargeback.no_customer"


async def test_saps_refusals_are_refusals(steps: Steps, sap: SapBooks, saga_id: str) -> None:
    command = await to_credit(steps, saga_id)
    sap.mood = Mood(period_closed=True, blocked=("AS4395631",))
    refused = await steps.do(chargeback_resolution, command, saga_id)
    assert isinstance(refused, Failed)
    assert (refused.failure.code, refused.failure.retryable) == ("sap.refused", False)
    assert refused.failure.details == {"code": "F5/286"}
    assert await steps.refused(sap_customer_creation, CUSTOMER, new_saga_id()) == "sap.refused"


async def test_an_outage_opens_the_breaker_of_sap_alone(steps: Steps, sap: SapBooks, saga_id: str) -> None:
    steps.breakers = Breakers(BreakerConfig(failure_threshold=3, reset_timeout_s=30), fails=counts_against)
    sap.mood = Mood(down=True)
    for _ in range(3):
        assert await steps.refused(sap_customer_creation, CUSTOMER, new_saga_id()) == "sap.unavailable"
    assert isinstance(await steps.do(sap_customer_creation, CUSTOMER, new_saga_id()), Deferred)
    await steps.done(federal_db_validation, to_look_up(), saga_id)


async def test_who_cannot_be_reached_is_asked_again(tmp_path: Path, saga_id: str) -> None:
    async with open_steps(tmp_path) as alone:
        for environment, code in (
            ({}, "sap.not_configured"),
            ({"SAGA_SAP_URL": "http://127.0.0.1:9"}, "sap.unreachable"),
        ):
            alone.environment = environment
            failed = await alone.do(sap_customer_creation, CUSTOMER, new_saga_id())
            assert isinstance(failed, Failed)
            assert (failed.failure.code, failed.failure.effect, failed.failure.retryable) == (
                code,
                "none",
                True,
            )


@pytest.mark.parametrize(("command", "registration", "found"), [
    (to_look_up(), "active", []),
    (to_look_up(customer_dea="AP5384336", customer="Pinecrest Infusion Pharmacy", sold_on="2026-02-14"), "revoked", []),
    (to_look_up(customer_dea="AP5384336", customer="Pinecrest Infusion Pharmacy", sold_on="2026-02-15"), "revoked",
     [("federal.not_active", "deny")]),
    (to_look_up(customer_dea="AB1234563"), None, [("federal.unknown", "deny")]),
    (to_look_up(customer_dea=None), None, [("federal.no_number", "review")]),
    (to_look_up("340b", customer="Maple Street Health Center", covered_entity="CHC08231"), "active", []),
    (to_look_up("340b"), None, [("federal.no_number", "review")]),
])  # fmt: skip
async def test_the_federal_database_knows_who_was_registered(
    steps: Steps, saga_id: str, command: ValidateFederal, registration: str | None, found: Any
) -> None:
    stated = await steps.done(federal_db_validation, command, saga_id)
    assert (stated.registration, codes(stated.findings)) == (registration, found)


async def test_a_federal_database_that_is_away_is_asked_again(
    steps: Steps, federal_database: Federal, saga_id: str
) -> None:
    federal_database.mood = FederalMood(down=True)
    failed = await steps.do(federal_db_validation, to_look_up(), saga_id)
    assert isinstance(failed, Failed)
    assert (failed.failure.code, failed.failure.retryable) == ("federal.unavailable", True)
    federal_database.mood = FederalMood()
    assert (await steps.done(federal_db_validation, to_look_up(), saga_id)).status == "clear"
