"""Each step on its real database, under the guard: done once, undone once, and told once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from contracts.chargebacks import CheckContract, CheckDuplicate, ValidateRoster
from contracts.ids import new_saga_id
from saga.execution import Done, Gone
from services.chargebacks.steps.compliance_trail import compliance_trail
from services.chargebacks.steps.contract_eligibility import contract_eligibility
from services.chargebacks.steps.duplicate_check import duplicate_check
from services.chargebacks.steps.gpo_roster_validation import gpo_roster_validation
from services.chargebacks.tables import KnownClaim, TrailDocument
from services.chargebacks.trail import problems
from tests.services.chargebacks.claims import a_claim, a_line, codes
from tests.services.chargebacks.test_trail import to_record
from tests.services.steps import Steps, open_steps


@pytest.fixture
def saga_id() -> str:
    return new_saga_id()


@pytest.fixture
async def replicas(tmp_path: Path, database_url: str) -> AsyncIterator[list[Steps]]:
    async with (
        open_steps(tmp_path / "a", database_url=database_url) as a,
        open_steps(tmp_path / "b", database_url=database_url) as b,
    ):
        yield [a, b]


def to_compare(document: str = "a", **changes: Any) -> CheckDuplicate:
    return CheckDuplicate(
        claim=a_claim(**changes), document_hash=document * 64, reference="DOC-1", metadata={"batch": "b1"}
    )


async def test_a_claim_is_new_once_and_a_repeated_delivery_is_no_duplicate(
    steps: Steps, saga_id: str
) -> None:
    first = await steps.done(duplicate_check, to_compare(), saga_id)
    assert (first.status, first.open, first.metadata) == ("new", True, {"batch": "b1", "claim": "DM-204137"})
    assert await steps.done(duplicate_check, to_compare(), saga_id) == first
    again = await steps.done(duplicate_check, to_compare("b"), new_saga_id())
    assert (again.status, again.open, again.of) == ("duplicate", False, "DM-204137")
    assert len(await steps.rows(duplicate_check, select(KnownClaim))) == 1


async def test_a_claim_that_was_forgotten_may_come_again(steps: Steps, saga_id: str) -> None:
    await steps.done(duplicate_check, to_compare(), saga_id)
    for _ in range(2):
        assert await steps.undo(duplicate_check, to_compare(), saga_id) == Done(None)
    assert (await steps.done(duplicate_check, to_compare(), new_saga_id())).status == "new"


async def test_claims_are_compared_with_those_of_their_own_wholesaler_only(steps: Steps) -> None:
    await steps.done(duplicate_check, to_compare(), new_saga_id())
    other = to_compare("b", wholesaler_dea="RC2987658")
    assert (await steps.done(duplicate_check, other, new_saga_id())).status == "new"


async def test_without_a_claim_there_is_nothing_to_compare(steps: Steps, saga_id: str) -> None:
    command = CheckDuplicate(claim=None, document_hash="a" * 64, reference="DOC-1")
    stated = await steps.done(duplicate_check, command, saga_id)
    assert (stated.status, stated.open) == ("rejected", False)


async def test_of_claims_that_come_at_once_on_two_replicas_one_is_the_first(replicas: list[Steps]) -> None:
    for replica in replicas:
        await replica.database(duplicate_check)
    ends = await asyncio.gather(
        *(
            replica.done(duplicate_check, to_compare(), new_saga_id())
            for replica in replicas
            for _ in range(4)
        )
    )
    assert sorted(end.status for end in ends) == ["duplicate"] * 7 + ["new"]


async def test_documents_at_once_are_one_unbroken_chain(replicas: list[Steps]) -> None:
    for replica in replicas:
        await replica.database(compliance_trail)
    sagas = [new_saga_id() for _ in range(6)]
    await asyncio.gather(
        *(replica.do(compliance_trail, to_record(), saga) for replica in replicas for saga in sagas)
    )
    await replicas[0].undo(compliance_trail, to_record(), sagas[0])
    rows = await replicas[1].rows(compliance_trail, select(TrailDocument).order_by("number"))
    assert [row.document["kind"] for row in rows] == ["recorded"] * 6 + ["withdrawn"]
    assert problems(row.document for row in rows) == []
    recorded = next(row for row in rows if row.saga_id == sagas[0])
    assert rows[-1].document["entries"][0]["said"] == {"withdraws": recorded.hash}


async def test_a_trail_that_was_withdrawn_first_is_never_written(steps: Steps, saga_id: str) -> None:
    await steps.undo(compliance_trail, to_record(), saga_id)
    assert await steps.do(compliance_trail, to_record(), saga_id) == Gone()
    assert await steps.rows(compliance_trail, select(TrailDocument)) == []


async def test_the_shipped_contracts_and_rosters_are_in_the_databases(
    replicas: list[Steps], saga_id: str
) -> None:
    steps = replicas[0]
    checked = await steps.done(contract_eligibility, CheckContract(claim=a_claim()), saga_id)
    assert (checked.status, checked.gpo, checked.eligible) == ("clear", "premier-alliance", a_claim().total)
    assert (checked.roster_due, checked.federal_due) == (True, False)
    roster = ValidateRoster(claim=a_claim(), gpo="premier-alliance", metadata={"batch": "b1"})
    member = await steps.done(gpo_roster_validation, roster, saga_id)
    assert (member.status, member.member, member.score) == ("clear", "PA-1001", 100)
    assert member.metadata == {"batch": "b1", "roster_member": "PA-1001"}


async def test_what_the_contract_denies_need_not_be_validated_further(steps: Steps, saga_id: str) -> None:
    claim = a_claim(contract="PREM-2240", lines=[a_line("0641-6125-25", 10, "87.35", "62.02")])
    checked = await steps.done(contract_eligibility, CheckContract(claim=claim), saga_id)
    assert (checked.status, checked.roster_due, checked.federal_due) == ("clear", True, True)
    late = a_claim(
        **claim.model_dump(exclude={"sold_on", "lines"}),
        sold_on="2027-01-01",
        lines=claim.model_dump()["lines"],
    )
    denied = await steps.done(contract_eligibility, CheckContract(claim=late), new_saga_id())
    assert (denied.status, denied.roster_due, denied.federal_due) == ("denied", False, False)
    unknown = await steps.done(
        contract_eligibility, CheckContract(claim=a_claim(contract="X-99")), new_saga_id()
    )
    assert (codes(unknown.findings), unknown.kind) == ([("contract.unknown", "deny")], None)
