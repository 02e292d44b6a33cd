"""What reviews make of findings and of decisions."""

from typing import Any

import pytest

from contracts.chargebacks import Finding, Review
from services.chargebacks.reviewing import NotDecided, decided, expired, heard, passed, wants_a_person
from tests.services.chargebacks.claims import a_claim, codes

NOTE = Finding(code="roster.by_name", severity="note", message="n")
DOUBT = Finding(code="contract.price", severity="review", message="r")
DENIAL = Finding(code="roster.left", severity="deny", message="d")
APPROVE = {"decision": "approve", "reviewer": "ada"}


def to_review(*findings: Finding, **changes: Any) -> Review:
    checks = [{"step": "contract_eligibility", "due": True, "findings": findings}]
    said = {
        "reference": "DOC-1",
        "name": "memo.pdf",
        "claim": a_claim(),
        "checks": checks,
        "metadata": {"a": "1"},
    }
    return Review.model_validate(said | changes)


@pytest.mark.parametrize(("findings", "asked", "payable"), [
    ((), False, True), ((NOTE,), False, True), ((DOUBT, NOTE), True, True), ((DOUBT, DENIAL), False, False),
    ((DENIAL,), False, False),
])  # fmt: skip
def test_a_person_is_asked_only_where_that_can_change_something(
    findings: Any, asked: bool, payable: bool
) -> None:
    command = to_review(*findings)
    assert wants_a_person(heard(command)) is asked
    assert passed(command, heard(command)).payable is payable


def test_a_check_that_was_due_and_has_not_answered_is_looked_at() -> None:
    silent = {"step": "federal_db_validation", "findings": None}
    assert codes(heard(to_review(checks=[silent | {"due": True}]))) == [("check.unanswered", "review")]
    assert heard(to_review(checks=[silent | {"due": False}])) == ()


def test_without_a_claim_nothing_is_payable() -> None:
    assert not passed(to_review(claim=None), ()).payable


def test_what_is_approved_is_a_note_and_the_metadata_go_on() -> None:
    command = to_review(DOUBT)
    reviewed = decided(command, heard(command), APPROVE)
    assert (reviewed.status, reviewed.payable, reviewed.reviewer) == ("approved", True, "ada")
    assert codes(reviewed.findings) == [("contract.price", "note")]
    assert (reviewed.claim, reviewed.metadata) == (a_claim(), {"a": "1"})


def test_what_is_rejected_or_expires_is_denied() -> None:
    command = to_review(DOUBT)
    rejected = decided(command, heard(command), {"decision": "reject", "reviewer": "grace", "reason": "no"})
    assert codes(rejected.findings)[-1] == ("review.rejected", "deny")
    late = expired(command, heard(command))
    assert (late.status, late.payable, late.reviewer) == ("expired", False, "")
    assert codes(late.findings)[-1] == ("review.expired", "deny")


def test_corrections_complete_a_draft() -> None:
    draft = a_claim().model_dump(mode="json") | {"contract": None, "customer_dea": "AS4395632"}
    command = to_review(DOUBT, claim=None, draft=draft)
    right = APPROVE | {"corrections": {"contract": "PREM-2231", "customer_dea": "AS4395631"}}
    assert decided(command, heard(command), right).claim == a_claim()
    with pytest.raises(NotDecided, match="customer_dea"):
        decided(command, heard(command), APPROVE | {"corrections": {"contract": "PREM-2231"}})


@pytest.mark.parametrize("payload", [
    {}, {"decision": "perhaps", "reviewer": "ada"}, {"decision": "approve"}, APPROVE | {"more": 1},
    APPROVE | {"corrections": {"contract": "X-1"}},
])  # fmt: skip
def test_what_is_no_decision_decides_nothing(payload: dict[str, Any]) -> None:
    command = to_review(DOUBT)
    with pytest.raises(NotDecided):
        decided(command, heard(command), payload)
