"""Who was entitled to a price: members of a purchasing organization, and registrations in the federal database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from contracts.chargeback_claims import Claim
from contracts.chargebacks import Finding, Severity
from services.chargebacks.findings import finding
from services.chargebacks.names import likeness
from services.chargebacks.ports import Registration

GRACE = timedelta(days=30)
"""Within it, who has left may have ordered as a member."""
SURE_FROM = 92
UNSURE_FROM = 75
SAME_PARTY_FROM = 60
"""Below, a number and a name cannot be of the same party."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a purchasing organization, from the day it joined to the day before it left."""

    number: str
    name: str
    dea: str | None
    hin: str | None
    joined: date
    left: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The member that the customer is taken for, and the likeness of their names."""

    member: str | None
    score: int
    findings: tuple[Finding, ...]


def check_roster(claim: Claim, members: Sequence[Member]) -> Membership:
    """The customer against the roster: by its numbers first, then by its name."""
    by_number = next((member for member in members if _same_number(claim, member)), None)
    if by_number is not None:
        score = likeness(claim.customer, by_number.name)
        return Membership(
            member=by_number.number,
            score=score,
            findings=tuple(_of_member(claim, by_number, score, sure=True)),
        )
    score, best = max(
        ((likeness(claim.customer, member.name), member) for member in members),
        key=lambda found: found[0],
        default=(0, None),
    )
    if best is None or score < UNSURE_FROM:
        found = finding("roster.no_member", "deny", f"{claim.customer} is not on the roster", "/customer")
        return Membership(member=None, score=score, findings=(found,))
    return Membership(
        member=best.number, score=score, findings=tuple(_of_member(claim, best, score, sure=False))
    )


def _same_number(claim: Claim, member: Member) -> bool:
    pairs = ((claim.customer_dea, member.dea), (claim.customer_hin, member.hin))
    return any(said is not None and said == known for said, known in pairs)


def _of_member(claim: Claim, member: Member, score: int, *, sure: bool) -> Iterator[Finding]:
    if sure and score < SAME_PARTY_FROM:
        said = f"the number is that of {member.name}, the name {claim.customer}"
        yield finding("roster.name", "review", said, "/customer")
    elif not sure:
        severity: Severity = "note" if score >= SURE_FROM else "review"
        yield finding("roster.by_name", severity, f"{score} % like {member.name}", "/customer")
    if claim.sold_on < member.joined:
        yield finding("roster.not_yet", "deny", f"{member.name} joined on {member.joined}", "/sold_on")
    if member.left is not None and claim.sold_on >= member.left:
        recent = claim.sold_on - member.left <= GRACE
        code, severity = ("roster.left_recently", "review") if recent else ("roster.left", "deny")
        yield finding(code, severity, f"{member.name} left on {member.left}", "/sold_on")


def check_registration(claim: Claim, registration: Registration | None) -> Iterator[Finding]:
    """The customer against its registration, on the day of the sale."""
    if registration is None:
        yield finding("federal.unknown", "deny", "the federal database does not know the customer")
        return
    if not registration.active_on(claim.sold_on):
        said = f"{registration.number} is {registration.state}, from {registration.since} to {registration.until}"
        yield finding("federal.not_active", "deny", said, "/sold_on")
    score = likeness(claim.customer, registration.name)
    if score < UNSURE_FROM:
        said = f"registered is {registration.name} ({score} %)"
        yield finding("federal.name", "review", said, "/customer")
