"""Why a participant does what it does: `explain` asks `decide`, and watches which facts it looks at.

The rules stand in `saga.choreography` and nowhere else: an explanation holds the decision itself, the facts
that were looked for and found, those that were looked for in vain, and what the decision means in words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from contracts.definition import SagaDefinition
from contracts.facts import FactKey, Facts, Recorded
from contracts.failure import InvalidContract
from saga.choreography import decide
from saga.decisions import (
    Compensate,
    Decision,
    GiveUp,
    Hold,
    Ignore,
    Run,
    Skip,
    Sleep,
    StandDown,
    Trigger,
    Wait,
    Wake,
)

_VERDICTS: Mapping[type, str] = {
    Run: "run",
    Skip: "skip",
    Hold: "hold",
    Wake: "wake",
    Sleep: "sleep",
    Compensate: "compensate",
    StandDown: "stand_down",
    GiveUp: "give_up",
    Wait: "wait",
    Ignore: "ignore",
}
INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What one step makes of one fact. `verdict` is stable, `because` is for people.

    `decision` is None, and the verdict `invalid`, if the step's condition cannot be evaluated. `saw` are the
    facts the rules found, in stream order; `lacked` those they looked for in vain.
    """

    step: str
    verdict: str
    because: str
    decision: Decision | None
    saw: tuple[Recorded, ...]
    lacked: tuple[FactKey, ...]


def explain(definition: SagaDefinition, step: str, facts: Facts, trigger: Trigger) -> Explanation:
    """As `decide`, with the reason; a condition that cannot be evaluated is explained, not raised."""
    witness = _Witness(facts)
    decision: Decision | None = None
    try:
        decision = decide(definition, step, witness, trigger)
        verdict, because = _VERDICTS[type(decision)], _because(decision)
    except InvalidContract as error:
        verdict, because = INVALID, str(error)
    return Explanation(
        step=step,
        verdict=verdict,
        because=because,
        decision=decision,
        saw=tuple(sorted(witness.seen.values(), key=lambda recorded: recorded.sequence)),
        lacked=tuple(sorted(witness.lacked)),
    )


@dataclass(slots=True)
class _Witness(Mapping[FactKey, Recorded]):
    """The facts, and which of them somebody has looked for."""

    facts: Facts
    seen: dict[FactKey, Recorded] = field(default_factory=dict)
    lacked: set[FactKey] = field(default_factory=set)

    def __getitem__(self, key: FactKey) -> Recorded:
        found = self.facts.get(key)
        if found is None:
            self.lacked.add(key)
            raise KeyError(key)
        self.seen[key] = found
        return found

    def __iter__(self) -> Iterator[FactKey]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)


def _because(decision: Decision) -> str:
    match decision:
        case Run(resumed=True):
            return "it had started, and this is the fact whose delivery runs it: it goes on"
        case Run():
            return "all it needs has been stated, and this fact is the last of it"
        case Skip(reason=reason, by=by):
            return f"{by} wants it skipped: {reason}" if by else reason
        case Hold(by=by, reason=reason):
            return f"it is due, but {by} has paused the saga: {reason}"
        case Wake(rest=rest, reason=reason):
            return f"what it has waited for since {rest} has come: {reason}"
        case Sleep(due=due):
            return f"it rests until {due.isoformat()}: a timer wakes it"
        case Compensate(output=None):
            return (
                "the saga is aborted and no later step is open: it is undone, if it had an effect (not known)"
            )
        case Compensate():
            return "the saga is aborted and no later step is open: it is undone"
        case StandDown(reason=reason):
            return f"the saga is aborted, and the step refused without an effect: {reason}"
        case GiveUp(by=by, reason=reason):
            return f"{by} has decided that it will not be undone: {reason}"
        case Wait(reason=reason) | Ignore(reason=reason):
            return reason
