"""Resting: a step that no delivery works on, until a fact wakes it. Part of the pure core.

    held                          the step is due, but the saga is paused        woken by `_saga.resumed`
    suspended                     its handler waits for an instant or a signal   woken by its timer, or `signalled`
    attempt_failed (parked)       the next attempt comes after a long delay      woken by its timer
    compensation_failed           its undo was given up                          woken by a person

Whoever wakes it states `woken` for that rest, once. Its delivery, and no other, then works on the step:
rest and wake come in pairs, so a resume, a timer or a request that comes twice or late wakes nothing.
"""

from datetime import datetime

from contracts.facts import (
    PAUSED_KEY,
    RESUMED_KEY,
    AttemptFailed,
    FactKind,
    Facts,
    Recorded,
    StepSuspended,
)

_RESTS = {
    True: (FactKind.COMPENSATION_FAILED,),
    False: (FactKind.HELD, FactKind.SUSPENDED),
}


def rest_of(facts: Facts, step: str, *, undoing: bool) -> Recorded | None:
    """The last fact that laid the step down, on its way forward or (`undoing`) on its way back."""
    parked = facts.get((step, FactKind.ATTEMPT_FAILED))
    others = [facts[step, kind] for kind in _RESTS[undoing] if (step, kind) in facts]
    if parked is None and not others:
        return None
    if parked and not (
        parked.fact.data.get("parked") and parked.fact.data.get("compensation", False) is undoing
    ):
        parked = None
    return max((rest for rest in (parked, *others) if rest), key=lambda rest: rest.sequence, default=None)


def woken(facts: Facts, step: str, rest: Recorded) -> Recorded | None:
    """The fact that ended the rest, if it has ended."""
    wake = facts.get((step, FactKind.WOKEN))
    # A late wake ends the rest it was stated for, not the one that has begun meanwhile.
    return wake if wake and wake.fact.data["rest"] >= rest.sequence else None


def rests(facts: Facts, step: str, *, undoing: bool) -> Recorded | None:
    """The fact of the rest the step is in now."""
    rest = rest_of(facts, step, undoing=undoing)
    return rest if rest and not woken(facts, step, rest) else None


def due_of(rest: Recorded) -> datetime | None:
    """When a timer ends this rest; None if none does."""
    match rest.fact.kind:
        case FactKind.ATTEMPT_FAILED:
            return AttemptFailed.model_validate(rest.fact.data).not_before
        case FactKind.SUSPENDED:
            return StepSuspended.model_validate(rest.fact.data).until
        case _:
            return None


def takes_signals(rest: Recorded) -> bool:
    """Whether a signal ends this rest."""
    return rest.fact.kind == FactKind.SUSPENDED and bool(rest.fact.data.get("signal"))


def paused(facts: Facts) -> bool:
    """Whether the saga is paused by the last word on it."""
    pause, resume = facts.get(PAUSED_KEY), facts.get(RESUMED_KEY)
    return pause is not None and (resume is None or resume.sequence < pause.sequence)


def skip_wanted(facts: Facts, step: str) -> Recorded | None:
    """The wish to skip the step, unless a wish to try it again came later."""
    skip, again = facts.get((step, FactKind.SKIP_REQUESTED)), facts.get((step, FactKind.RETRY_REQUESTED))
    return skip if skip and (again is None or again.sequence < skip.sequence) else None
