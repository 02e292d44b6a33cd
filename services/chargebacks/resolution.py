"""What becomes of a claim: credited, credited in part, or denied; and why."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from contracts.chargebacks import ResolveChargeback
from contracts.money import Money
from services.chargebacks.eligibility import CURRENCY
from services.chargebacks.ports import CreditLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """`lines` make the credited amount. `reasons` are codes of findings, in their order, each once."""

    outcome: Literal["credited", "adjusted", "denied"]
    credited: Money
    lines: tuple[CreditLine, ...]
    reasons: tuple[str, ...]


def resolve(command: ResolveChargeback) -> Resolved:
    """Decide on a claim by what was found."""
    claim = command.claim
    currency = claim.currency if claim else CURRENCY
    eligible = command.eligible or Decimal(0)
    if not command.payable or claim is None or not eligible:
        reasons = dict.fromkeys(finding.code for finding in command.findings if finding.severity == "deny")
        return Resolved(outcome="denied", credited=Money.of(0, currency), lines=(), reasons=tuple(reasons))
    lines = command.lines or ()
    return Resolved(
        outcome="credited" if eligible >= claim.total else "adjusted",
        credited=Money.of(eligible, currency),
        lines=tuple(
            CreditLine(line.ndc, Money.of(line.eligible, currency)) for line in lines if line.eligible
        ),
        reasons=tuple(dict.fromkeys(line.reason for line in lines if line.reason)),
    )
