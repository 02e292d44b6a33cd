"""What a local service says where the recording has a fact of its step: the same, something else, or nothing. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.facts import ABORTED_KEY, Fact, FactKey, FactKind, Facts
from saga.choreography import CLOSED, SPOKEN
from saga.divergence import different
from saga.republish.plan import Move

_COMPARED: dict[str, str] = {FactKind.STARTED: "input", FactKind.COMPLETED: "output"}
_FORWARD = (FactKind.STARTED, FactKind.SUSPENDED, *SPOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where an answer is not the recorded one. `sequence` is that of the recorded fact; `what` is `answer`, or the
    kind and a pointer into its data."""

    sequence: int
    step: str
    what: str
    was: str
    now: str


def instead(left: Move, said: Facts) -> FactKey | None:
    """What was said in place of a recorded fact, so that this one will never come; None while it may."""
    recorded = left.facts[0].fact
    step, kind = recorded.key
    if recorded.key in said:
        return None
    if recorded.key == ABORTED_KEY:
        others = _of(str(recorded.data.get("step")), FactKind.COMPLETED, FactKind.SKIPPED)
    elif kind in _FORWARD:
        others = (*_of(step, *SPOKEN), ABORTED_KEY)
    else:
        others = _of(step, *CLOSED)
    # What was said before it in the recording, too, says nothing.
    return next((key for key in others if key in said and key not in left.needs), None)


def _of(step: str, *kinds: FactKind) -> tuple[FactKey, ...]:
    return tuple((step, kind) for kind in kinds)


def differences(left: Move, said: Facts, patience_s: float) -> Iterator[Difference]:
    """How the answer to a recorded fact differs from it, once it was given or `patience_s` seconds have passed."""
    recorded = left.facts[0]
    fact, answer = recorded.fact, said.get(recorded.fact.key)
    if answer is None:
        other = instead(left, said)
        now = _told(said[other].fact) if other else f"nothing within {patience_s:g} s"
        yield Difference(
            sequence=recorded.sequence, step=fact.subject, what="answer", was=_told(fact), now=now
        )
        return
    for pointer, was, now in different(_compared(fact), _compared(answer.fact)):
        yield Difference(
            sequence=recorded.sequence, step=fact.subject, what=f"{fact.kind}{pointer}", was=was, now=now
        )


def _compared(fact: Fact) -> Any:
    if fact.kind == FactKind.FAILED:
        return {"failure": {"code": _code(fact)}}
    name = _COMPARED.get(fact.kind)
    return {name: fact.data.get(name)} if name else {}


def _told(fact: Fact) -> str:
    return f"{fact.kind} ({_code(fact)})" if fact.kind == FactKind.FAILED else fact.kind


def _code(fact: Fact) -> str:
    return str((fact.data.get("failure") or {}).get("code", ""))
