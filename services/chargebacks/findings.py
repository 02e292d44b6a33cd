"""Findings: how they are made, how many of them are told, and what they amount to."""

from collections.abc import Iterable

from contracts.chargebacks import CheckStatus, Finding, Severity

MOST = 25
_MESSAGE, _PLACE = 500, 120


def finding(code: str, severity: Severity, message: str, place: str = "") -> Finding:
    """A finding, its words cut where they are too many."""
    return Finding(code=code, severity=severity, message=message[:_MESSAGE], place=place[:_PLACE])


def few(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first of them, the rest as a number: a claim of 200 lines may be wrong in every one.

    What is left out counts as the worst of it does.
    """
    found = tuple(findings)
    if len(found) <= MOST:
        return found
    rest = found[MOST:]
    worst = next((one for one in rest if one.severity == "deny"), None) or next(
        (one for one in rest if one.severity == "review"), rest[0]
    )
    return (*found[:MOST], finding(worst.code, worst.severity, f"{len(rest)} more of such findings"))


def status_of(findings: Iterable[Finding]) -> CheckStatus:
    """What findings amount to: the worst of them counts."""
    severities = {one.severity for one in findings}
    if "deny" in severities:
        return "denied"
    return "review" if "review" in severities else "clear"
