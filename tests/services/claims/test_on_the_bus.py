"""The phases on a real bus, with a marketplace over real HTTP: entered by facts, in any order, once."""

from decimal import Decimal

from contracts.facts import FactKind
from contracts.ids import saga_id_for
from contracts.phases import (
    AccountConnected,
    ClaimRejected,
    ClaimSubmitted,
    DetectionCompleted,
    EvidenceMatched,
    PayoutReceived,
    SyncCompleted,
    phase_saga_key,
)
from events.read import read_saga
from saga.state import SagaStatus, StepStatus
from tests.conftest import own_database
from tests.services.claims.conftest import Run
from tests.services.claims.kit import ACCOUNT, OLD, WORTH, Claims, a_case, marketplace

CONNECTED = AccountConnected(account_id=ACCOUNT)
NO_CLAIM = "C-0000000000000000"


async def test_a_connected_account_gets_back_what_it_is_owed(run: Run) -> None:
    async with run(marketplace((3, "pays"), (1, "pays"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        ended = await claims.at_end("recovered", "recovered")
        assert sum(claim.amount for claim in ended) == WORTH * 4
        books = await claims.books()
        assert books.reconciled, books.differences
        assert (books.paid, books.short) == (WORTH * 4, Decimal(0))
        assert books.fees + books.sellers == books.paid
        assert await claims.trail(claim_id="") == [(1, "entered"), (2, "entered"), (3, "entered")]
        trail = await claims.trail(claim_id=ended[0].claim_id)
        assert [step for step in trail if step[1] == "entered"] == [
            (4, "entered"),
            (5, "entered"),
            (7, "entered"),
        ]


async def test_without_a_single_webhook_the_marketplace_is_asked(run: Run) -> None:
    async with run(marketplace((1, "pays"), lose_every=1)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        assert claims.market.cases.webhooks.lost == claims.market.cases.webhooks.told > 0


async def test_webhooks_spare_the_wait(run: Run) -> None:
    async with run(marketplace((1, "pays")), SAGA_CLAIMS_POLL_S="3600") as claims:
        claims.market.cases.think_s = 0.5
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("recovered")
        tracked = ClaimSubmitted(
            account_id=ACCOUNT, claim_id=claim.claim_id, submission=1, case_id=claim.case_id
        )
        assert (await claims.entered(tracked)).status == SagaStatus.COMPLETED


async def test_a_rejection_teaches_and_the_claim_goes_once_more_with_better_evidence(run: Run) -> None:
    # The claim needs every unit of both invoices: those that it uses already are its own.
    async with run(marketplace((2, "wants_more"), units=2)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("recovered")
        assert claim.submission == 2
        first, second = claims.market.cases.requests.values()
        assert (len(first.documents), len(second.documents)) == (1, 2)
        assert (second.earlier, second.appeals) == ("K-00001", False)
        (lesson,) = (await claims.api.get("/api/v1/claims/policies")).json()["items"]
        assert (lesson["reason"], lesson["version"], lesson["claim_id"]) == (
            "more_evidence",
            2,
            claim.claim_id,
        )
        assert lesson["thresholds"]["submit_at"] == 91


async def test_what_was_rejected_for_its_date_is_appealed_against(run: Run) -> None:
    async with run(marketplace((2, "out_of_window"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        assert [one.appeals for one in claims.market.cases.requests.values()] == [False, True]


async def test_a_second_rejection_is_the_last(run: Run) -> None:
    async with run(marketplace((2, "policy"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("rejected")
        assert [one.status for one in claims.market.cases.all()] == ["rejected", "rejected"]
        last = ClaimRejected(
            account_id=ACCOUNT, claim_id=claim.claim_id, submission=2, case_id="K-00002",
            reason=claims.market.cases.get("K-00002").reason,
        )  # fmt: skip
        state = await claims.entered(last)
        assert (state.status, state.steps["submit"].status) == (SagaStatus.COMPLETED, StepStatus.SKIPPED)
        assert (await claims.books()).paid == 0


async def test_a_short_payout_is_booked_as_short(run: Run) -> None:
    async with run(marketplace((2, "short"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        books = await claims.books()
        assert (books.claimed, books.short, books.paid) == (WORTH * 2, WORTH * 2 / 10, WORTH * 2 * 9 / 10)
        assert books.reconciled


async def test_an_entry_that_comes_too_early_waits_for_the_one_before(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        early = await claims.enter(SyncCompleted(account_id=ACCOUNT, records=1))
        earlier = await claims.enter(DetectionCompleted(account_id=ACCOUNT, findings=0))
        for saga_id in (early, earlier):
            await claims.until(saga_id, lambda state: state.steps["enter"].status == StepStatus.SUSPENDED)
        assert sorted(await claims.trail()) == [(2, "held"), (3, "held")]
        await claims.enter(CONNECTED)
        for saga_id in (early, earlier):
            assert (await claims.ended(saga_id)).status == SagaStatus.COMPLETED
        outcomes = [step for step in await claims.trail(claim_id="") if step[1] == "entered"]
        assert outcomes[:3] == [(1, "entered"), (2, "entered"), (3, "entered")]


async def test_an_entry_whose_turn_never_comes_is_refused(run: Run) -> None:
    async with run(marketplace(), SAGA_CLAIMS_PATIENCE_S="0.2") as claims:
        saga_id = await claims.enter(DetectionCompleted(account_id=ACCOUNT, findings=0))
        assert await _refusal(claims, saga_id) == "phase.out_of_order"
        assert await claims.trail() == [(3, "held"), (3, "out_of_order")]


async def test_the_same_entry_counts_once_whoever_states_it(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        again = await claims.enter(CONNECTED)
        assert await _refusal(claims, again) == "phase.repeated"
        assert len(await claims.claims()) == len(claims.market.cases.all()) == 1
        assert (await claims.trail(claim_id=""))[-1] == (1, "repeated")


async def test_another_run_finds_nothing_twice(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        await claims.enter(AccountConnected(account_id=ACCOUNT, run="2"))
        again = DetectionCompleted(account_id=ACCOUNT, run="2", findings=0)
        assert (await claims.entered(again)).status == SagaStatus.COMPLETED
        assert len(await claims.claims()) == 1


async def test_the_older_steps_names_are_heard_on_the_bus(run: Run) -> None:
    async with run(marketplace()) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.entered(DetectionCompleted(account_id=ACCOUNT, findings=0))
        # The same entry by its older name: it is heard, and found to be the phase that was entered before.
        entry = DetectionCompleted(account_id=ACCOUNT, findings=0)
        old = await claims.client.start("claims-phase-10", entry.model_dump(mode="json"))
        assert await _refusal(claims, old.saga_id) == "phase.repeated"
        assert (await claims.trail(claim_id=""))[-1] == (3, "repeated")


async def test_an_older_step_enters_the_phase_it_has_become(run: Run) -> None:
    async with run(marketplace((1, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("asked")
        case = claims.market.cases.open("elsewhere", a_case(claim_id=claim.claim_id))
        entry = ClaimSubmitted(
            account_id=ACCOUNT, claim_id=claim.claim_id, submission=1, case_id=case.case_id
        )
        old = await claims.client.start("claims-phase-12", entry.model_dump(mode="json"))
        assert (await claims.ended(old.saga_id)).status == SagaStatus.COMPLETED
        await claims.at_end("recovered")


async def test_a_claim_that_nobody_knows_is_refused(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        entry = EvidenceMatched(account_id=ACCOUNT, claim_id=NO_CLAIM, confidence=99)
        assert await _refusal(claims, await claims.enter(entry)) == "claim.unknown"
        assert (4, "refused") in await claims.trail(claim_id=NO_CLAIM)


async def test_a_claim_of_another_account_is_refused(run: Run) -> None:
    async with run(marketplace((1, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("asked")
        foreign = ClaimSubmitted(account_id="S-2", claim_id=claim.claim_id, submission=1, case_id="K-1")
        assert await _refusal(claims, await claims.enter(foreign)) == "claim.unknown"
        assert (5, "refused") in await claims.trail(account_id="S-2")


async def test_an_account_that_has_not_let_us_in_is_refused(run: Run) -> None:
    async with run(marketplace()) as claims:
        assert await _refusal(claims, await claims.enter(CONNECTED)) == "account.not_connected"


async def test_an_outage_of_the_marketplace_is_waited_out(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        claims.market.down = True
        saga_id = await claims.enter(CONNECTED)
        await claims.until(saga_id, lambda state: state.steps["sync"].status == StepStatus.RETRYING)
        claims.market.down = False
        await claims.at_end("recovered")


async def test_the_seller_is_asked_and_the_answer_counts(run: Run) -> None:
    async with run(marketplace((1, "pays"), (2, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        first, second = await claims.at_end("asked", "asked")
        yes = await claims.api.post(
            f"/api/v1/claims/{first.claim_id}/answer", json={"answer": "submit", "by": "ann"}
        )
        no = await claims.api.post(
            f"/api/v1/claims/{second.claim_id}/answer", json={"answer": "decline", "by": "ann"}
        )
        assert (yes.status_code, no.status_code) == (202, 202)
        await claims.at_end("recovered", "declined")
        assert {one.answer: one.by for one in await claims.questions()} == {"submit": "ann", "decline": "ann"}


async def test_a_question_is_repeated_and_then_counts_as_declined(run: Run) -> None:
    pace = {"SAGA_CLAIMS_REMIND_AFTER_S": "0.4", "SAGA_CLAIMS_EXPIRE_AFTER_S": "3"}
    async with run(marketplace((1, "pays"), bought=OLD), **pace) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        await claims.at_end("expired")
        (question,) = await claims.questions()
        assert (question.answer, question.by) == ("expired", "clock")
        assert question.reminders >= 1
        late = await claims.api.post(
            f"/api/v1/claims/{question.claim_id}/answer", json={"answer": "submit", "by": "ann"}
        )
        assert late.status_code == 409
        assert claims.market.cases.all() == []


async def test_what_is_not_proven_is_parked(run: Run) -> None:
    async with run(marketplace((1, "pays"), invoices=0)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("parked")
        assert claim.confidence == 0


async def test_a_claim_that_is_cancelled_while_the_seller_is_asked_is_withdrawn(run: Run) -> None:
    async with run(marketplace((1, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("asked")
        entry = EvidenceMatched(account_id=ACCOUNT, claim_id=claim.claim_id, confidence=claim.confidence)
        saga_id = saga_id_for(phase_saga_key(entry))
        await claims.until(saga_id, lambda state: state.steps["ask"].status == StepStatus.SUSPENDED)
        await claims.client.cancel(saga_id, reason="sold the shop", by="ann")
        assert (await claims.ended(saga_id)).status == SagaStatus.COMPENSATED
        await claims.at_end("withdrawn")
        assert [one.answer for one in await claims.questions()] == ["withdrawn"]


async def test_what_another_service_has_submitted_is_followed(run: Run) -> None:
    """A service in another language submits by itself, and enters phase 5 with its case."""
    async with run(marketplace((1, "pays"), bought=OLD)) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("asked")
        case = claims.market.cases.open("elsewhere", a_case(claim_id=claim.claim_id))
        await claims.enter(
            ClaimSubmitted(account_id=ACCOUNT, claim_id=claim.claim_id, submission=1, case_id=case.case_id)
        )
        (claim,) = await claims.at_end("recovered")
        assert claim.case_id == case.case_id


async def test_a_payout_of_another_currency_waits_for_nobody_and_is_refused(run: Run) -> None:
    async with run(marketplace((1, "policy"))) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("rejected")
        entry = PayoutReceived.model_validate(
            {
                "account_id": ACCOUNT, "claim_id": claim.claim_id, "submission": 1, "case_id": "K-00001",
                "payout_id": "P-9", "amount": {"amount": "1.00", "currency": "EUR"},
                "paid_at": "2026-01-01T00:00:00Z",
            }
        )  # fmt: skip
        assert await _refusal(claims, await claims.enter(entry)) == "payout.other_currency"


async def test_the_services_may_be_stopped_while_the_seller_thinks(run: Run) -> None:
    market = marketplace((1, "pays"), bought=OLD)
    async with run(market) as claims:
        await claims.connected()
        await claims.enter(CONNECTED)
        (claim,) = await claims.at_end("asked")
    async with run(market) as claims:
        answer = {"answer": "submit", "by": "ann"}
        await claims.api.post(f"/api/v1/claims/{claim.claim_id}/answer", json=answer)
        await claims.at_end("recovered")
        assert (await claims.trail()).count((4, "entered")) == 1


async def test_all_of_it_works_on_postgresql(run: Run, postgres_url: str) -> None:
    async with own_database(postgres_url) as url:
        market = marketplace((2, "wants_more"), (1, "pays"), (3, "policy"))
        async with run(market, database_url=url) as claims:
            await claims.connected()
            await claims.enter(CONNECTED)
            await claims.at_end("recovered", "recovered", "rejected")
            assert (await claims.books()).differences == ()


async def test_every_cause_can_be_followed_back(run: Run) -> None:
    async with run(marketplace((1, "pays"))) as claims:
        await claims.connected()
        first = await claims.enter(CONNECTED)
        await claims.at_end("recovered")
        for entry in (
            SyncCompleted(account_id=ACCOUNT, records=6),
            DetectionCompleted(account_id=ACCOUNT, findings=1),
        ):
            facts = await read_saga(claims.bus, saga_id_for(phase_saga_key(entry)))
            assert {one.fact.correlationid for one in facts} == {first}


async def _refusal(claims: Claims, saga_id: str) -> str:
    """The code with which a saga's first step to fail was refused; nothing was done, so nothing is left."""
    state = await claims.ended(saga_id)
    assert state.status == SagaStatus.COMPENSATED, state
    aborts = [one.fact for one in await read_saga(claims.bus, saga_id) if one.fact.kind == FactKind.ABORTED]
    return str(aborts[0].data["failure"]["code"])
