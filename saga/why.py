"""Why a step ran, was skipped, waits or was undone: in plain sentences, down to the step everybody waits for.

Pure: what the facts say by the rules of `saga.choreography`, and what is known of the moment (`Around`). A delivery
that is deferred states nothing, so which breaker a handler waits for is not known; those that are open are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, PAUSED_KEY, FactKey, FactKind, Recorded
from saga.choreography import causes, needs, open_steps, taken_over
from saga.listening import Presence
from saga.rests import due_of
from saga.state import SagaState, SagaStatus, StepState, StepStatus, fold
from saga.timeline import told


class Standing(StrEnum):
    """Where a step stands; the names are stable."""

    DONE = "done"
    UNDONE = "undone"
    NEVER = "never"
    WAITS_FOR_STEPS = "waits_for_steps"
    DUE = "due"
    UNDER_WAY = "under_way"
    WAITS_FOR_TIME = "waits_for_time"
    WAITS_FOR_SIGNAL = "waits_for_signal"
    PAUSED = "paused"
    NEEDS_A_PERSON = "needs_a_person"


_BEGINS = (FactKind.STARTED, FactKind.WOKEN)
SETTLED = frozenset({Standing.DONE, Standing.UNDONE, Standing.NEVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known of the moment: who serves which action, and which breakers are open."""

    now: datetime
    present: Mapping[str, Presence] = field(default_factory=dict)
    open_breakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One step: where it stands, and why. `since` is when it came to stand there, `until` when that may end by
    itself. `waits_for` are the steps that must speak or close first."""

    step: str
    action: str
    standing: Standing
    sentences: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None
    waits_for: tuple[str, ...] = ()


def why(definition: SagaDefinition, facts: Sequence[Recorded], step: str, around: Around) -> list[Why]:
    """The step itself, then the steps it waits for, and those that they wait for.

    Raises InvalidContract if there is no such step.
    """
    definition.step(step)
    examined = _Examined(definition, fold(definition, facts), {one.fact.key: one for one in facts}, around)
    found: dict[str, Why] = {}
    asked = [step]
    while asked:
        name = asked.pop(0)
        if name not in found:
            found[name] = examined.why(name)
            asked += found[name].waits_for
    return list(found.values())


def fronts(definition: SagaDefinition, facts: Sequence[Recorded], around: Around) -> list[Why]:
    """The steps on which the saga's progress hangs now: none of them waits for another step."""
    examined = _Examined(definition, fold(definition, facts), {one.fact.key: one for one in facts}, around)
    if examined.state.ended:
        return []
    every = (examined.why(step.name) for step in definition.steps)
    return [one for one in every if one.standing not in {*SETTLED, Standing.WAITS_FOR_STEPS}]


@dataclass(frozen=True, slots=True)
class _Examined:
    definition: SagaDefinition
    state: SagaState
    facts: Mapping[FactKey, Recorded]
    around: Around

    def why(self, name: str) -> Why:
        step = self.state.steps[name]
        # An abort that came after the last step has turned nothing round.
        if self.state.abort is not None and self.state.status is not SagaStatus.COMPLETED:
            return self._turned_round(name, step)
        match step.status:
            case StepStatus.PENDING:
                return self._pending(name)
            case StepStatus.HELD:
                return self._held(name)
            case StepStatus.SUSPENDED | StepStatus.RETRYING:
                return self._rests(name, step)
            case StepStatus.RUNNING:
                return self._under_way(name)
            case StepStatus.FAILED if self._waits_behind_the_pivot(name):
                sentence = "the pivot has completed, so the saga cannot turn round: a person must act"
                return self._make(name, Standing.NEEDS_A_PERSON, *self._done(name, step), sentence)
            case _:
                return self._make(name, Standing.DONE, *self._ran(name), *self._done(name, step))

    def _pending(self, name: str) -> Why:
        waits_for: list[str] = []
        sentences = []
        for group in needs(self.definition, name):
            if not any(key in self.facts for key in group):
                said = " or ".join(".".join(key) for key in group)
                stater = self._action(group[0][0])
                sentences.append(f"it waits for {said}, which {stater} should state")
                waits_for += [group[0][0]] if group[0][0] in self.state.steps else []
        if self.state.ended:
            return self._make(
                name, Standing.NEVER, "the saga has ended, and it never came to this step", *sentences
            )
        if sentences:
            return self._make(name, Standing.WAITS_FOR_STEPS, *sentences, waits_for=tuple(waits_for))
        last = self._last_cause(name)
        sentence = f"it is due since {_said(last)}, and has not spoken"
        return self._make(name, Standing.DUE, sentence, *self._served(name), since=last.fact.time)

    def _held(self, name: str) -> Why:
        pause, held = self.facts[PAUSED_KEY].fact, self.facts[name, FactKind.HELD]
        sentence = f"it is due, but {pause.data['by']} has paused the saga: {pause.data['reason']}"
        return self._make(
            name, Standing.PAUSED, sentence, "`saga resume` lets it go on", since=held.fact.time
        )

    def _rests(self, name: str, step: StepState) -> Why:
        kind = FactKind.SUSPENDED if step.status == StepStatus.SUSPENDED else FactKind.ATTEMPT_FAILED
        rest = self.facts[name, kind]
        due = due_of(rest)
        sentences = [*self._ran(name), told(rest)]
        if due is None:
            hint = "nothing but the signal ends this (`saga signal`), or a wish to skip it (`saga skip`)"
            return self._make(name, Standing.WAITS_FOR_SIGNAL, *sentences, hint, since=rest.fact.time)
        if due > self.around.now:
            left = f"that is in {_long(due - self.around.now)}"
            return self._make(
                name, Standing.WAITS_FOR_TIME, *sentences, left, since=rest.fact.time, until=due
            )
        late = f"that was {_long(self.around.now - due)} ago"
        return self._make(name, Standing.DUE, *sentences, late, *self._served(name), since=due)

    def _under_way(self, name: str) -> Why:
        began = [self.facts[name, kind] for kind in _BEGINS if (name, kind) in self.facts]
        last = max(began, key=lambda recorded: recorded.sequence).fact.time
        silent = f"it is under way for {_long(self.around.now - last)}, and has not spoken since"
        return self._make(name, Standing.UNDER_WAY, *self._ran(name), silent, *self._served(name), since=last)

    def _turned_round(self, name: str, step: StepState) -> Why:
        abort = self.facts[ABORTED_KEY]
        turn = f"{told(abort)} (#{abort.sequence})"
        if not step.opened:
            if step.status in (StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.FAILED):
                nothing = f"{turn}; it has no undo, or no effect, so it stays as it is"
                return self._make(name, Standing.DONE, *self._ran(name), *self._done(name, step), nothing)
            return self._make(name, Standing.NEVER, f"{turn}, before the step began: now it never will")
        if step.closed:
            closing = self.facts[name, FactKind(step.status.value)]
            return self._make(
                name, Standing.UNDONE, *self._ran(name), turn, f"{told(closing)} (#{closing.sequence})",
                *self._closed_after(name, closing),
            )  # fmt: skip
        if step.status == StepStatus.COMPENSATION_FAILED:
            failed = self.facts[name, FactKind.COMPENSATION_FAILED]
            hint = "`saga retry` tries the undo again, `saga skip` gives it up"
            return self._make(name, Standing.NEEDS_A_PERSON, turn, told(failed), hint, since=failed.fact.time)
        if later := open_steps(self.definition, self.facts, among=self.definition.graph.descendants[name]):
            waits = f"its undo waits until {', '.join(sorted(later))} are closed: the last step goes first"
            return self._make(name, Standing.WAITS_FOR_STEPS, turn, waits, waits_for=tuple(sorted(later)))
        if step.status == StepStatus.COMPENSATING and (name, FactKind.ATTEMPT_FAILED) in self.facts:
            return self._rests(name, step)
        return self._make(
            name, Standing.DUE, turn, "its undo is due, and it has not closed", *self._served(name),
            since=abort.fact.time,
        )  # fmt: skip

    def _closed_after(self, name: str, closing: Recorded) -> Iterator[str]:
        later = [
            (other.sequence, step)
            for step, other in self.state.steps.items()
            if step in self.definition.graph.descendants[name] and other.closed
            if other.sequence < closing.sequence
        ]
        if later:
            sequence, step = max(later)
            yield f"it had to wait for the later steps; the last of them, {step}, closed with #{sequence}"

    def _ran(self, name: str) -> Iterator[str]:
        """What made the step due."""
        if taken_over(self.definition, name, next(iter(self.facts.values())).fact):
            return
        if any(any(key in self.facts for key in group) for group in needs(self.definition, name)):
            yield f"it became due with {_said(self._last_cause(name))}, the last fact that it needed"

    def _done(self, name: str, step: StepState) -> Iterator[str]:
        for kind in (FactKind.COMPLETED, FactKind.SKIPPED, FactKind.FAILED):
            if step.status == kind.value:
                stated = self.facts[name, kind]
                yield f"{told(stated)} (#{stated.sequence})"

    def _last_cause(self, name: str) -> Recorded:
        known = [self.facts[key] for key in causes(self.definition, name) if key in self.facts]
        return max(known, key=lambda recorded: recorded.sequence)

    def _waits_behind_the_pivot(self, name: str) -> bool:
        return (
            self.definition.by_name[name].on_error == "abort"
            and self.state.status is not SagaStatus.COMPLETED
        )

    def _action(self, step: str) -> str:
        return (
            self.definition.by_name[step].action if step in self.definition.by_name else "whoever starts it"
        )

    def _served(self, name: str) -> Iterator[str]:
        action = self._action(name)
        there = self.around.present.get(action)
        if there is None:
            yield f"nobody has ever served {action} on this bus"
            return
        work = f"{there.pending} messages wait for it, {there.in_flight} are in flight"
        yield f"{action} is served; {work}" if there.alive else f"nobody serves {action} now; {work}"
        if self.around.open_breakers:
            yield f"open breakers, any of which it may be waiting for: {', '.join(self.around.open_breakers)}"

    def _make(
        self, name: str, standing: Standing, *sentences: str, since: datetime | None = None,
        until: datetime | None = None, waits_for: tuple[str, ...] = (),
    ) -> Why:  # fmt: skip
        return Why(
            step=name, action=self._action(name), standing=standing, sentences=sentences, since=since,
            until=until, waits_for=waits_for,
        )  # fmt: skip


def _said(recorded: Recorded) -> str:
    return f"{'.'.join(recorded.fact.key)} (#{recorded.sequence})"


def _long(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} seconds"
