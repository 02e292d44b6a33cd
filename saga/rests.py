"""Resting: a step that no delivery works on, until a fact wakes it. Part of the pure core.

    held                          the step is due, but the saga is paused        woken by `_saga.resumed`
    attempt_failed (parked)       the next attempt comes after a long delay      woken by its timer
    compensation_failed           its undo was given up                          woken by a person

Whoever wakes it states `woken` for that rest, once. Its delivery, and no other, then works on the step:
rest and wake come in pairs, so a resume, a timer or a request that comes twice or late wakes nothing.
"""

from contracts.facts import PAUSED_KEY, RESUMED_KEY, FactKind, Facts, Recorded


def rest_of(facts: Facts, step: str, *, undoing: bool) -> Recorded | None:
    """The last fact that laid the step down, on its way forward or (`undoing`) on its way back."""
    parked = facts.get((step, FactKind.ATTEMPT_FAILED))
    other = facts.get((step, FactKind.COMPENSATION_FAILED if undoing else FactKind.HELD))
    if parked is None and other is None:
        return None
    if parked and not (
        parked.fact.data.get("parked") and parked.fact.data.get("compensation", False) is undoing
    ):
        parked = None
    return max((rest for rest in (parked, other) if rest), key=lambda rest: rest.sequence, default=None)


def woken(facts: Facts, step: str, rest: Recorded) -> Recorded | None:
    """The fact that ended the rest, if it has ended."""
    wake = facts.get((step, FactKind.WOKEN))
    return wake if wake and wake.sequence > rest.sequence else None


def rests(facts: Facts, step: str, *, undoing: bool) -> Recorded | None:
    """The fact of the rest the step is in now."""
    rest = rest_of(facts, step, undoing=undoing)
    return rest if rest and not woken(facts, step, rest) else None


def is_parked(rest: Recorded) -> bool:
    """Whether a timer ends this rest."""
    return rest.fact.kind == FactKind.ATTEMPT_FAILED


def paused(facts: Facts) -> bool:
    """Whether the saga is paused by the last word on it."""
    pause, resume = facts.get(PAUSED_KEY), facts.get(RESUMED_KEY)
    return pause is not None and (resume is None or resume.sequence < pause.sequence)


def skip_wanted(facts: Facts, step: str) -> Recorded | None:
    """The wish to skip the step, unless a wish to try it again came later."""
    skip, again = facts.get((step, FactKind.SKIP_REQUESTED)), facts.get((step, FactKind.RETRY_REQUESTED))
    return skip if skip and (again is None or again.sequence < skip.sequence) else None
