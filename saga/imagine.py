"""A recorded saga played under another definition: what its participants would decide, and how it would end.

The decisions are made by `decide`; what a step did stands in for what it would do, as long as the action is the same.
Of a step that did not run nothing is recorded: it is taken to complete without an output, and what refers to that is
not known. People's wishes, cancels and deadlines come where they came, and so does what a redrive has taken over.
Pauses, waits and repeated attempts are left out: the end of a step stands for all of them.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.facts import ABORTED_KEY, STARTED_KEY, Fact, FactKey, FactKind, Recorded
from contracts.failure import CODE_CONDITION_INVALID, CODE_INPUT_INVALID, Failure, InvalidContract
from contracts.references import Scope
from contracts.subjects import SAGA_STEP
from saga.choreography import CLOSED, SPOKEN, causes, decide, heard_by, may_abort, needs, taken_over
from saga.decisions import Compensate, GiveUp, Run, Skip, StandDown, Trigger
from saga.scope import carry, scope_of

_FROM_OUTSIDE = (FactKind.SKIP_REQUESTED, FactKind.RETRY_REQUESTED)
_UNDO_ENDS = (*CLOSED, FactKind.COMPENSATION_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one step did: its end (`kind`, empty if it has none yet) and what it said (`data`), what made it due, and
    with which input; None if that is not known."""

    action: str
    kind: str
    data: dict[str, Any]
    order: int
    cause: FactKey | None
    input: dict[str, Any] | None
    opened: bool
    undo: str = ""
    undo_order: int = 0


@dataclass(slots=True)
class Imagined:
    """The facts of a saga that never was, each with its place in the recorded one (`orders`), and its steps.

    `unknown` are steps of whose end nothing is recorded, or whose input is not known, with the reason.
    """

    facts: list[Recorded] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    ran: dict[str, Ran] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


def recorded_runs(definition: SagaDefinition, facts: Sequence[Recorded]) -> dict[str, Ran]:
    """What the steps of a recorded saga did. Of a fact that the server has stored twice the first counts."""
    facts = list({recorded.fact.id: recorded for recorded in reversed(facts)}.values())[::-1]
    known: dict[FactKey, Recorded] = {}
    found: dict[str, Ran] = {}
    for recorded in facts:
        step, kind = recorded.fact.key
        begins = step in definition.by_name and kind in (FactKind.STARTED, *SPOKEN)
        begins = begins and not taken_over(definition, step, recorded.fact)
        if begins and (step not in found or not found[step].kind):
            found[step] = _run_of(definition, step, known, recorded, found.get(step))
        elif step in found and kind in _UNDO_ENDS and found[step].undo not in CLOSED:
            found[step] = _replaced(found[step], undo=kind, undo_order=recorded.sequence)
        known[recorded.fact.key] = recorded
    return found | _silent(definition, facts, found)


def _silent(definition: SagaDefinition, facts: Sequence[Recorded], ran: Mapping[str, Ran]) -> dict[str, Ran]:
    """The steps that were due and never spoke: the abort came first."""
    turn = next((one.sequence for one in facts if one.fact.key == ABORTED_KEY), facts[-1].sequence + 1)
    known = {recorded.fact.key: recorded for recorded in facts if recorded.sequence < turn}
    due = [
        step
        for step in definition.by_name
        if step not in ran
        and not taken_over(definition, step, facts[0].fact)
        and all(any(key in known for key in group) for group in needs(definition, step))
    ]
    return {step: _run_of(definition, step, known, None, None) for step in due}


def _run_of(
    definition: SagaDefinition, step: str, known: Mapping[FactKey, Recorded], said: Recorded | None,
    before: Ran | None,
) -> Ran:  # fmt: skip
    """`said` is what it has stated; None if it was due and has been silent."""
    due = [known[key] for key in causes(definition, step) if key in known]
    last = max(due, key=lambda one: one.sequence) if due else None
    started = said is not None and said.fact.kind == FactKind.STARTED
    given = said.fact.data.get("input") if said and started else before.input if before else None
    if given is None and last is not None:
        try:
            given = definition.by_name[step].template.resolve(
                scope_of(definition, step, known, needs(definition, step))
            )
        except InvalidContract:
            given = None
    return Ran(
        action=definition.by_name[step].action,
        kind=said.fact.kind if said and not started else "",
        data=said.fact.data if said else {},
        order=said.sequence if said else last.sequence if last else 0,
        cause=last.fact.key if last else None,
        input=given,
        opened=started or (before is not None and before.opened),
    )


def _replaced(ran: Ran, **changes: Any) -> Ran:
    values = {name: getattr(ran, name) for name in Ran.__slots__}
    return Ran(**values | changes)


def imagine(
    definition: SagaDefinition, runs: Mapping[str, Ran], facts: Sequence[Recorded], undoable: Collection[str]
) -> Imagined:
    """The recorded saga under `definition`. `undoable`: actions that can be undone, for steps that did not run."""
    imagining = _Imagining(definition, runs, undoable)
    for recorded in facts:
        key = recorded.fact.key
        by_step = key == ABORTED_KEY and recorded.fact.data.get("cause") == "step"
        came_with_start = key[0] in definition.by_name and taken_over(definition, key[0], recorded.fact)
        by_person = (key == ABORTED_KEY and not by_step) or key[1] in _FROM_OUTSIDE
        if key == STARTED_KEY or came_with_start or by_person:
            imagining.expect(recorded.sequence, key, recorded.fact.data)
    return imagining.play(facts[0].fact)


@dataclass(slots=True)
class _Coming:
    key: FactKey
    data: dict[str, Any]
    trigger: Trigger | None = None


class _Imagining:
    def __init__(
        self, definition: SagaDefinition, runs: Mapping[str, Ran], undoable: Collection[str]
    ) -> None:
        self._definition = definition
        self._runs = runs
        self._undoable = undoable
        self._heard_by = {step.name: heard_by(definition, step.name) for step in definition.steps}
        self._coming: list[tuple[int, int, _Coming]] = []
        self._numbers = count()
        self._unheard: deque[Recorded] = deque()
        self._known: dict[FactKey, Recorded] = {}
        self._now = 0
        self._about: Fact | None = None
        self._found = Imagined()

    def expect(self, order: int, key: FactKey, data: dict[str, Any], trigger: Trigger | None = None) -> None:
        coming = _Coming(key, data, trigger)
        heappush(self._coming, (max(order, self._now), next(self._numbers), coming))

    def play(self, about: Fact) -> Imagined:
        self._about = about
        while self._coming:
            self._now, _, coming = heappop(self._coming)
            self._come(coming)
            while self._unheard:
                heard = self._unheard.popleft()
                for step in self._definition.steps:
                    if heard.fact.key in self._heard_by[step.name]:
                        self._hear(step, heard)
        return self._found

    def _come(self, coming: _Coming) -> None:
        step, kind = coming.key
        if not kind:
            self._cut_off(self._definition.by_name[step], coming)
        elif coming.key == ABORTED_KEY:
            if may_abort(self._definition, self._known, parent=coming.data["cause"] == "parent"):
                self._state(coming.key, coming.data)
        elif coming.trigger is None or ABORTED_KEY not in self._known:
            self._state(coming.key, coming.data)
            aborts = kind == FactKind.FAILED and step != SAGA_STEP
            if (
                aborts
                and self._definition.by_name[step].on_error == "abort"
                and may_abort(self._definition, self._known)
            ):
                self._state(
                    ABORTED_KEY, {"cause": "step", "step": step, "failure": coming.data.get("failure")}
                )
        elif (step, FactKind.STARTED) in self._known:
            self._cut_off(self._definition.by_name[step], coming)

    def _cut_off(self, step: Step, coming: _Coming) -> None:
        """Its end came too late, or never: who was at work on it closes it, if the saga is aborted."""
        assert coming.trigger is not None, "only a step that runs can be cut off"
        if ABORTED_KEY not in self._known:
            self._found.unknown[step.name] = "the abort cut it off, so nothing is recorded of its end"
            return
        failure = coming.data.get("failure")
        refused = Failure.model_validate(failure) if failure else None
        cause = coming.trigger
        self._do(step, Trigger(sequence=cause.sequence, key=cause.key, owner=True, refused=refused))

    def _hear(self, step: Step, heard: Recorded) -> None:
        self._do(step, Trigger(sequence=heard.sequence, key=heard.fact.key))

    def _do(self, step: Step, trigger: Trigger) -> None:
        if self._leans_on_unknown(step, condition_only=True) and trigger.key in causes(
            self._definition, step.name
        ):
            self._found.unknown[step.name] = "its condition refers to an output of which nothing is recorded"
            return
        try:
            decision = decide(self._definition, step.name, self._known, trigger)
        except InvalidContract as error:
            self._fail(step, trigger, CODE_CONDITION_INVALID, error)
            return
        match decision:
            case Run(scope):
                self._run(step, trigger, scope)
            case Skip(scope, reason, by):
                self._skip(step, trigger, {"reason": reason, "by": by}, scope)
            case Compensate():
                self._close(step, FactKind.COMPENSATED)
            case StandDown():
                self._close(step, FactKind.STOOD_DOWN)
            case GiveUp():
                self._close(step, FactKind.COMPENSATION_SKIPPED)

    def _run(self, step: Step, trigger: Trigger, scope: Scope) -> None:
        given: dict[str, Any] | None = None
        if self._leans_on_unknown(step):
            self._found.unknown[step.name] = "its input refers to an output of which nothing is recorded"
        else:
            try:
                given = step.template.resolve(scope)
            except InvalidContract as error:
                self._fail(step, trigger, CODE_INPUT_INVALID, error)
                return
        said = self._runs.get(step.name)
        same = said is not None and said.action == step.action and said.kind != FactKind.SKIPPED
        opened = said.opened if said is not None and same else step.action in self._undoable
        if opened and step.compensate:
            self._state((step.name, FactKind.STARTED), {"input": given or {}, "attempt": 1})
        data: dict[str, Any] = {"output": {}}
        kind: str = FactKind.COMPLETED
        order = self._now
        if said is not None and same:
            kind, data, order = said.kind, said.data, said.order
        else:
            self._found.unknown.setdefault(step.name, "nothing is recorded of what it does")
        self._note(step, kind, trigger, given, data)
        if kind:
            carried = carry(self._definition, step.name, scope)
            self.expect(order, (step.name, kind), {**data, "carried": carried}, trigger)
        elif said is not None and said.opened:
            self.expect(said.undo_order, (step.name, ""), {}, trigger)

    def _skip(self, step: Step, trigger: Trigger, data: dict[str, Any], scope: Scope) -> None:
        said = self._runs.get(step.name)
        silent = said is not None and not said.kind
        self._note(step, "" if silent else FactKind.SKIPPED, trigger, None, data)
        if not silent:
            order = said.order if said is not None and said.kind == FactKind.SKIPPED else self._now
            carried = carry(self._definition, step.name, scope)
            self.expect(order, (step.name, FactKind.SKIPPED), {**data, "carried": carried}, trigger)

    def _fail(self, step: Step, trigger: Trigger, code: str, error: InvalidContract) -> None:
        failure = Failure(code=code, message=str(error)[:4096], effect="none").model_dump(mode="json")
        data = {"failure": failure, "attempt": 1}
        self._note(step, FactKind.FAILED, trigger, None, data)
        self.expect(self._now, (step.name, FactKind.FAILED), data, trigger)

    def _leans_on_unknown(self, step: Step, *, condition_only: bool = False) -> bool:
        return any(
            use.reference.step in self._found.unknown and not use.reference.optional
            for use in step.uses
            if not condition_only or use.pointer == "/when"
        )

    def _close(self, step: Step, kind: str) -> None:
        said = self._runs.get(step.name)
        spoken = any((step.name, end) in self._known for end in SPOKEN)
        if said is not None and said.undo and (not spoken or kind == FactKind.COMPENSATED != said.undo):
            # How its undo ended, and what cut it off, is recorded and cannot be decided.
            kind = said.undo
        data = {"failure": {"code": "recorded", "message": "as it was recorded"}} if "failed" in kind else {}
        self._state((step.name, kind), data)
        if step.name in self._found.ran:
            self._found.ran[step.name] = _replaced(self._found.ran[step.name], undo=kind)

    def _note(
        self, step: Step, kind: str, trigger: Trigger, given: dict[str, Any] | None, data: dict[str, Any]
    ) -> None:
        self._found.ran[step.name] = Ran(
            action=step.action, kind=kind, data=data, order=self._now, cause=trigger.key, input=given,
            opened=(step.name, FactKind.STARTED) in self._known,
        )  # fmt: skip

    def _state(self, key: FactKey, data: dict[str, Any]) -> None:
        assert self._about is not None, "an imagined saga begins with a recorded one"
        step, kind = key
        about = {
            "subject": step,
            "type": Fact.type_of(kind),
            "definition": self._definition.ref,
            "data": data,
        }
        recorded = Recorded(len(self._found.facts) + 1, self._about.model_copy(update=about))
        self._found.facts.append(recorded)
        self._found.orders.append(self._now)
        self._known[key] = recorded
        self._unheard.append(recorded)
