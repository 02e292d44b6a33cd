"""What a review makes of findings, and of a person's decision. Pure: the queue and the waiting are elsewhere."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from contracts.chargeback_claims import Claim
from contracts.chargebacks import Decision, Finding, Review, Reviewed
from contracts.facts import explain
from services.chargebacks.extraction.check import claim_of
from services.chargebacks.findings import finding


class NotDecided(Exception):
    """The signal is no decision; the words say why. The case stays open."""


def heard(command: Review) -> tuple[Finding, ...]:
    """All findings, and one for every check that was due and has not answered."""
    findings: list[Finding] = []
    for check in command.checks:
        findings += check.findings or ()
        if check.due and check.findings is None:
            said = f"{check.step} has not answered"
            findings.append(finding("check.unanswered", "review", said))
    return tuple(findings)


def wants_a_person(findings: Sequence[Finding]) -> bool:
    """Whether somebody must look: what is denied anyway need not be looked at."""
    severities = {one.severity for one in findings}
    return "review" in severities and "deny" not in severities


def passed(command: Review, findings: tuple[Finding, ...]) -> Reviewed:
    """The end of a review that nobody needs."""
    denied = any(one.severity == "deny" for one in findings)
    return Reviewed(
        status="not_needed",
        payable=not denied and command.claim is not None,
        claim=command.claim,
        findings=findings,
        metadata=command.metadata,
    )


def decided(command: Review, findings: tuple[Finding, ...], payload: dict[str, Any]) -> Reviewed:
    """The end of a review by a person. Raises NotDecided."""
    try:
        decision = Decision.model_validate(payload)
    except ValidationError as error:
        raise NotDecided(f"no decision: {explain(error)}"[:500]) from error
    if decision.decision == "reject":
        return _denied(
            command, findings, "rejected", decision.reason or "rejected by the reviewer", decision.reviewer
        )
    return Reviewed(
        status="approved",
        payable=True,
        claim=_corrected(command, decision.corrections),
        reviewer=decision.reviewer,
        findings=_looked_at(findings),
        metadata=command.metadata,
    )


def expired(command: Review, findings: tuple[Finding, ...]) -> Reviewed:
    """The end of a review that nobody has answered in time."""
    return _denied(command, findings, "expired", "nobody has decided in time", "")


def _corrected(command: Review, corrections: dict[str, Any]) -> Claim:
    if command.draft is None:
        if corrections:
            raise NotDecided(
                "what was checked cannot be corrected any more: reject it, and let it come again"
            )
        if command.claim is None:
            raise NotDecided("there is no claim to approve")
        return command.claim
    try:
        draft = type(command.draft).model_validate(command.draft.model_dump(mode="json") | corrections)
        return claim_of(draft)
    except ValidationError as error:
        raise NotDecided(f"no whole claim yet: {explain(error)}"[:500]) from error


def _denied(
    command: Review, findings: tuple[Finding, ...], status: Any, reason: str, reviewer: str
) -> Reviewed:
    said = finding(f"review.{status}", "deny", reason)
    return Reviewed(
        status=status,
        payable=False,
        claim=command.claim,
        reviewer=reviewer,
        findings=(*_looked_at(findings), said),
        metadata=command.metadata,
    )


def _looked_at(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(
        one.model_copy(update={"severity": "note"}) if one.severity == "review" else one for one in findings
    )
