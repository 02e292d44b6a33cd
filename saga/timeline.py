"""A saga's story in plain sentences, one per fact."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.directives import Redrives, directives_of
from contracts.facts import REDRIVE, Fact, FactKind, Recorded
from contracts.subjects import SAGA_STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One fact: when, how long after the start in milliseconds, and what it says."""

    sequence: int
    at: datetime
    offset_ms: float
    step: str
    kind: str
    text: str


def timeline(facts: Sequence[Recorded]) -> list[Moment]:
    """The facts of one saga, told in order."""
    begun = facts[0].fact.time if facts else None
    return [
        Moment(
            sequence=recorded.sequence,
            at=recorded.fact.time,
            offset_ms=round((recorded.fact.time - begun).total_seconds() * 1000, 3) if begun else 0.0,
            step=recorded.fact.subject,
            kind=recorded.fact.kind,
            text=told(recorded),
        )
        for recorded in facts
    ]


def told(recorded: Recorded) -> str:
    """What one fact says, as a sentence."""
    fact = recorded.fact
    if fact.source == REDRIVE and (redrives := directives_of(fact.directives).redrives):
        return _told_of_redrive(fact, redrives)
    return _told(fact.subject, fact.kind, fact.data)


def _told_of_redrive(fact: Fact, redrives: Redrives) -> str:
    if fact.subject != SAGA_STEP:
        return f"{fact.subject} {fact.kind} in saga {redrives.saga_id}, and was taken over"
    words = fact.data.get("redriven") or {}
    steps = " and ".join(redrives.from_steps)
    return f"{words.get('by')} redrove saga {redrives.saga_id} from {steps}: {words.get('reason')}"


_PLAIN: dict[str, str] = {
    FactKind.STARTED: "{step} is about to begin",
    FactKind.SKIPPED: "{step} was skipped: {reason}",
    FactKind.FAILED: "{step} failed for good ({why})",
    FactKind.STOOD_DOWN: "{step} stood down, it had no effect ({reason})",
    FactKind.COMPENSATED: "{step} was undone",
    FactKind.COMPENSATION_FAILED: "{step} could not be undone ({why}): a person must act",
    FactKind.COMPENSATION_SKIPPED: "{step} will not be undone, says {by}: {reason}",
    FactKind.HELD: "{step} is due, but the saga is paused",
    FactKind.SIGNALLED: "{by} sent {step} a signal",
    FactKind.WOKEN: "{step} goes on ({reason})",
    FactKind.RETRY_REQUESTED: "{by} wants the undo of {step} to be tried again: {reason}",
    FactKind.SKIP_REQUESTED: "{by} wants {step} to be skipped: {reason}",
}


def _told(step: str, kind: str, data: dict[str, Any]) -> str:
    if step == SAGA_STEP:
        return _told_of_saga(kind, data)
    failure = data.get("failure") or {}
    why = f"{failure.get('code')}: {failure.get('message')}"
    match kind:
        case FactKind.COMPLETED:
            return (
                f"{step} completed in {data.get('duration_ms', 0):.1f} ms (attempt {data.get('attempt', 1)})"
            )
        case FactKind.ATTEMPT_FAILED:
            what = "undoing" if data.get("compensation") else "attempt"
            return f"{step}: {what} {data.get('attempt')} failed ({why}), again in {data.get('delay_s')} s"
        case FactKind.SUSPENDED:
            waits = [f"until {data['until']}"] if data.get("until") else []
            return f"{step} waits {' or '.join(waits + ['for a signal'] * bool(data.get('signal')))}"
        case _:
            plain = _PLAIN.get(kind, "{step} stated " + kind)
            return plain.format(step=step, why=why, by=data.get("by"), reason=data.get("reason"))


def _told_of_saga(kind: str, data: dict[str, Any]) -> str:
    match kind:
        case FactKind.STARTED:
            return "the saga started"
        case FactKind.ABORTED if data.get("cause") == "step":
            return f"the saga turned round, because {data.get('step')} failed"
        case FactKind.ABORTED:
            return f"the saga turned round ({data.get('cause')} by {data.get('by')}: {data.get('reason')})"
        case FactKind.PAUSED | FactKind.RESUMED:
            return f"{data.get('by')} {kind} the saga: {data.get('reason')}"
        case _:
            return f"the log recorded the outcome: {kind}"
