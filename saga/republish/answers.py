"""What a local service says where the recording has a fact of its step: the same, something else, or nothing. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.facts import ABORTED_KEY, Fact, FactKey, FactKind, Facts, Recorded
from saga.choreography import CLOSED, SPOKEN
from saga.divergence import different

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


def instead(recorded: Fact, said: Facts) -> FactKey | None:
    """What was said in place of a recorded fact, so that this one will never come; None while it may."""
    step, kind = recorded.key
    if recorded.key in said:
        return None
    if recorded.key == ABORTED_KEY:
        return _first(said, str(recorded.data.get("step")), (FactKind.COMPLETED, FactKind.SKIPPED))
    if kind in _FORWARD:
        return _first(said, step, SPOKEN) or (ABORTED_KEY if ABORTED_KEY in said else None)
    return _first(said, step, CLOSED)


def differences(recorded: Recorded, said: Facts, patience_s: float) -> Iterator[Difference]:
    """How the answer to a recorded fact differs from it, once it was given or `patience_s` seconds have passed."""
    fact = recorded.fact
    answer = said.get(fact.key)
    if answer is None:
        other = instead(fact, said)
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


def _first(said: Facts, step: str, kinds: tuple[FactKind, ...]) -> FactKey | None:
    return next(((step, kind) for kind in kinds if (step, kind) in said), None)
