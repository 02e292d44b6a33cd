"""What a participant has heard, and what the core answers: values, no rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.facts import FactKey, Facts, Recorded
from contracts.failure import Failure
from contracts.references import Scope


@dataclass(slots=True, kw_only=True)
class Trigger:
    """The fact a participant has just heard.

    `owner` tells that it was redelivered, or that the fence has refused what the step wanted to state (no
    rule depends on it). `refused` is the failure it then wanted to state.
    """

    sequence: int
    key: FactKey
    owner: bool = False
    refused: Failure | None = None


@dataclass(frozen=True, slots=True)
class Before(Mapping[FactKey, Recorded]):
    """The facts before a sequence; each is looked for in `facts` when it is asked for."""

    facts: Facts
    sequence: int

    def __getitem__(self, key: FactKey) -> Recorded:
        found = self.facts[key]
        if found.sequence >= self.sequence:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[FactKey]:
        return (key for key in self.facts if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(slots=True)
class Run:
    """Do the step, with this data. `resumed`: it had been started before. `suspended` is what it waited for,
    `signal` what has come (JSON of `StepSuspended` and of the signal's payload)."""

    scope: Scope
    resumed: bool = False
    suspended: dict[str, Any] | None = None
    signal: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """The condition is false, or somebody (`by`) wants the step skipped: state `skipped`."""

    scope: Scope
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """The step is due and the saga paused: state `held`, unless anything was said of the saga after `paused`,
    the sequence of that pause."""

    paused: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """What the resting step waits for has come: state `woken` for that rest, unless it was after `woken`."""

    rest: int
    woken: int
    reason: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """A timer ends the step's rest: see that it is armed."""

    due: datetime


@dataclass(frozen=True, slots=True)
class Compensate:
    """Undo the step. `output` is None when it is not known whether there was an effect."""

    input: dict[str, Any]
    output: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StandDown:
    """The step had started but had no effect: state `stood_down`."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Somebody has decided that the step will not be undone: state `compensation_skipped`."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not due yet: the fact that is still missing will trigger it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing to do, now or later, because of this fact."""

    reason: str


type Decision = Run | Skip | Hold | Wake | Sleep | Compensate | StandDown | GiveUp | Wait | Ignore
