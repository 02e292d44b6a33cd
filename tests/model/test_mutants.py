"""The explorer finds every broken rule: each mutant of the core is killed, with a trace that shows how.

A mutant is one rule of the core's source, replaced. If a rule moves, its mutant must move with it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from saga import choreography, invariants, rests, state
from saga.simulate import Faults, Shell, intervene, simulate
from saga.simulate.corpus import CORPUS

BY_NAME = {found.name: found for found in CORPUS}
UNGUARDED = Shell(guard=False)
# Without the guard only the core keeps effects apart, so nothing may crash or be paused.
CALM = Faults(crashes=False, refusals=False, duplicates=1)
PAUSES = Faults(pauses=1)
PARKS = Faults(retries=True, parks=True)
WISHES = Faults(wishes=1, undo_failures=True)


@dataclass(frozen=True)
class Mutant:
    """`rule` in the core's source becomes `broken`; exploring `definition` must find one of `breaks`."""

    rule: str
    broken: str
    definition: str
    breaks: set[str]
    faults: Faults = field(default_factory=Faults)
    shell: Shell = field(default_factory=Shell)
    of: ModuleType = choreography
    redriven_from: tuple[str, ...] = ()


MUTANTS = {
    "what was taken over runs": Mutant(
        "if earlier := taken_over(definition, step, facts[trigger.key].fact):", 'if earlier := "":',
        "chain-3", {"effect_once", "one_outcome"}, redriven_from=("c",),
    ),
    "a redrive runs the steps it was redriven from alone": Mutant(
        "or step in runs_again(definition.graph, redrives.from_steps)", "or step in redrives.from_steps",
        "chain-3", {"not_stuck"}, redriven_from=("b",),
    ),
    "a join runs on any of its facts": Mutant(
        "if not any(key in facts for key in keys):", "if False:", "join", {"needs", "waiting_is_final"}
    ),
    "every delivery of a join runs the step": Mutant(
        "if trigger.sequence != _last_cause(definition, step, facts):\n        return Wait",
        "if False:\n        return Wait", "join", {"one_delivery_runs", "waiting_is_final"},
    ),
    "a step that has spoken runs again": Mutant(
        "if said := _first(facts, step, SPOKEN):", 'if said := "":',
        "chain-1", {"effect_once"}, CALM, UNGUARDED,
    ),
    "only a redelivery may resume a step": Mutant(
        "started = (step, FactKind.STARTED) in facts\n",
        "started = (step, FactKind.STARTED) in facts\n"
        '    if started and not trigger.owner:\n        return Ignore("already running")\n',
        "join", {"not_stuck"}, Faults(forgetful=True),
    ),
    "the abort is ignored": Mutant("if ABORTED_KEY in facts:", "if False:", "chain-2", {"not_stuck"}),
    "a saga that has completed is undone by a late abort": Mutant(
        "if all_passed(definition, facts) and not by_parent(facts):", "if False:",
        "chain-2", {"all_or_nothing", "final_status"},
    ),
    "a child that has completed is not undone with its parent": Mutant(
        "if all_passed(definition, facts) and not by_parent(facts):", "if all_passed(definition, facts):",
        "chain-1", {"not_stuck"}, Faults(parent=True),
    ),
    "an undo does not wait for later steps": Mutant(
        "if still_open := open_steps(", "if still_open := set() and open_steps(", "chain-2", {"reverse_order"}
    ),
    "an undo waits only for the steps right after it": Mutant(
        "among=definition.graph.descendants[step]", "among=definition.graph.successors[step]",
        "chain-stays-in-the-middle", {"reverse_order", "waiting_is_final"},
    ),
    "a step in flight does not count as open": Mutant(
        "if (step, FactKind.STARTED) in facts and not _first(facts, step, CLOSED)}",
        "if (step, FactKind.COMPLETED) in facts and not _first(facts, step, CLOSED)}",
        "chain-2", {"reverse_order"},
    ),
    "a step in flight is taken for dead": Mutant(
        "if at_work is None and not ended and trigger.sequence != _last_cause(definition, step, before):",
        "if False:", "chain-1", {"facts_tell_the_truth"}, Faults(effects="external"), Shell(bar=False),
    ),
    "any redelivered cause closes a step in flight": Mutant(
        "if at_work is None and not ended and trigger.sequence != _last_cause(definition, step, before):",
        "if at_work is None and not ended and not trigger.owner:",
        "join", {"facts_tell_the_truth", "waiting_is_final"}, Faults(effects="external"), Shell(bar=False),
    ),
    "nobody closes a step in flight": Mutant(
        "if at_work is None and not ended and trigger.sequence != _last_cause(definition, step, before):",
        "if not ended:", "chain-1", {"not_stuck"},
    ),
    "an unknown effect stands down": Mutant(
        'refusal is not None and refusal.effect == "none"', "refusal is not None",
        "chain-1", {"facts_tell_the_truth", "all_or_nothing"}, Faults(effects="external"),
    ),
    "every fact of the wave triggers the undo": Mutant(
        "if at_work is None and ended and trigger.sequence != _last_of_wave(definition, step, facts):",
        "if False:",
        "chain-2", {"undo_once", "waiting_is_final"}, CALM, UNGUARDED,
    ),
    "only the abort triggers the undo": Mutant(
        "*closes, 0)", "0)", "chain-2", {"not_stuck", "waiting_is_final"},
    ),
    "a closed step closes again": Mutant(
        "if said := _first(facts, step, CLOSED):", 'if said := "":',
        "chain-1", {"undo_once"}, CALM, UNGUARDED,
    ),
    "a step that never started is undone": Mutant(
        "if (step, FactKind.STARTED) not in facts:", "if False:", "chain-2", {"no_error"}
    ),
    "a failure that is not to abort does not let the saga pass": Mutant(
        "kinds = SPOKEN if step in graph.continues else (FactKind.COMPLETED, FactKind.SKIPPED)",
        "kinds = (FactKind.COMPLETED, FactKind.SKIPPED)", "chain-continue", {"not_stuck"},
    ),
    "participants do not hear later steps close": Mutant(
        "{ABORTED_KEY} | closes | _wakes(step)",
        "{ABORTED_KEY} | _wakes(step)", "chain-2", {"not_stuck"},
    ),
    "a late failed attempt reopens a step": Mutant(
        "case FactKind.ATTEMPT_FAILED if not _too_late(step, data):", "case FactKind.ATTEMPT_FAILED:",
        "chain-2", {"not_stuck"},
        Faults(effects="external", zombies=1, retries=True, crashes=False, cancel=False), of=state,
    ),
    "a late complaint reopens a closed step": Mutant(
        "case FactKind.COMPENSATION_FAILED if not step.closed:",
        "case FactKind.COMPENSATION_FAILED:",
        "roots-2", {"waits_for_a_reason"}, Faults(zombies=1, undo_failures=True, crashes=False), of=state,
    ),
    "an aborted saga counts as compensated while steps are open": Mutant(
        "if not still_open:", "if True:", "chain-2", {"all_or_nothing", "final_status"}, of=state
    ),
    "a failure after the pivot leaves the saga running": Mutant(
        "return SagaStatus.FAILED if passed | blocked == state.steps.keys() else _going_on(state)",
        "return _going_on(state)", "chain-pivot", {"not_stuck"}, of=state,
    ),
    "a paused saga goes on": Mutant(
        "if not started and paused(facts):", "if False:", "chain-1", {"held_while_paused"}, PAUSES
    ),
    "a resumed saga leaves its held steps where they are": Mutant(
        "return rest.fact.kind == FactKind.HELD and not paused(facts)", "return False",
        "chain-1", {"not_stuck"}, PAUSES,
    ),
    "participants do not hear that the saga is resumed": Mutant(
        "return frozenset({RESUMED_KEY, *((step, kind) for kind in own)})",
        "return frozenset((step, kind) for kind in own)", "chain-1", {"not_stuck"}, PAUSES,
    ),
    "a step that was woken is nobody's to run": Mutant(
        "return facts[step, FactKind.WOKEN].sequence", "return 0", "chain-1", {"not_stuck"}, PAUSES
    ),
    "a step that was parked before the abort is nobody's to undo": Mutant(
        "ended = bool(_first(facts, step, SPOKEN) or rests(before, step, undoing=False))",
        "ended = bool(_first(facts, step, SPOKEN))", "chain-1", {"not_stuck"}, PARKS,
    ),
    "a late wake counts as work on the undo": Mutant(
        'if wake and wake.fact.data["rest"] > facts[ABORTED_KEY].sequence:',
        "if wake and wake.sequence > facts[ABORTED_KEY].sequence:",
        "chain-2", {"waiting_is_final"}, Faults(pauses=1, zombies=1),
    ),
    "a late wake ends a later rest": Mutant(
        'wake.fact.data["rest"] >= rest.sequence', "wake.sequence > rest.sequence",
        "chain-1", {"not_stuck"}, Faults(retries=True, parks=True, effects="external", zombies=1), of=rests,
    ),
    "an undo that a person wants retried is nobody's": Mutant(
        'if wake and wake.fact.data["rest"] > facts[ABORTED_KEY].sequence:', "if False:",
        "chain-1", {"waiting_is_final"}, WISHES,
    ),
    "an undo that failed is not tried again when a person wants it": Mutant(
        "return given_up and trigger.sequence > rest.sequence", "return False",
        "chain-1", {"wishes_are_answered"}, WISHES,
    ),
    "an undo is never given up": Mutant(
        "if (step, FactKind.COMPENSATION_FAILED) in facts and (wanted := skip_wanted(facts, step)):",
        "if False:", "chain-1", {"wishes_are_answered"}, WISHES,
    ),
    "a step that is to be skipped runs": Mutant(
        "if wanted := skip_wanted(facts, step):\n        return Skip",
        "if wanted := None:\n        return Skip", "chain-1", {"wishes_are_answered"}, WISHES,
    ),
    "a step whose undo was given up holds up the wave": Mutant(
        "CLOSED = (FactKind.COMPENSATED, FactKind.STOOD_DOWN, FactKind.COMPENSATION_SKIPPED)",
        "CLOSED = (FactKind.COMPENSATED, FactKind.STOOD_DOWN)", "chain-2", {"not_stuck"}, WISHES,
    ),
    "a saga with an undo given up counts as compensated": Mutant(
        "return SagaStatus.FAILED if given_up else SagaStatus.COMPENSATED", "return SagaStatus.COMPENSATED",
        "chain-1", {"all_or_nothing"}, WISHES, of=state,
    ),
    "a skipped step that is started late counts as running": Mutant(
        "case FactKind.STARTED if step.ended_at is not None:", "case FactKind.STARTED if False:",
        "chain-2", {"not_stuck"}, Faults(wishes=1, zombies=1), of=state,
    ),
    "a late wake ends the wait for a person": Mutant(
        ' and data["rest"] >= step.sequence', "", "chain-1", {"not_stuck"},
        Faults(retries=True, parks=True, zombies=1, undo_failures=True), of=state,
    ),
}  # fmt: skip


def broken(module: ModuleType, rule: str, with_: str) -> dict[str, Any]:
    """The module's names with one rule replaced; its types stay the originals."""
    source = inspect.getsource(module)
    assert rule in source, f"the rule has moved: {rule}"
    names: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(rule, with_), module.__name__, "exec"), names)
    originals = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    names.update(originals)
    return names


def install(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    names = broken(mutant.of, mutant.rule, mutant.broken)
    if mutant.of is state:
        monkeypatch.setattr(invariants, "advance", names["advance"])
        return
    if mutant.of is rests:
        for module in (choreography, intervene):
            monkeypatch.setattr(module, "rests", names["rests"])
        return
    functions: list[tuple[str, Callable[..., Any]]] = [
        (name, names[name]) for name in ("decide", "heard_by", "causes")
    ]
    for name, function in functions:
        monkeypatch.setattr(choreography, name, function)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    install(monkeypatch, mutant)
    report = simulate(
        BY_NAME[mutant.definition],
        faults=mutant.faults,
        shell=mutant.shell,
        redriven_from=mutant.redriven_from,
    )
    assert {violation.invariant for violation in report.violations} <= mutant.breaks
    assert report.violations


# Many mutants are found by the same one.
EXPLORATIONS = {
    (one.definition, one.faults, one.shell, one.redriven_from): name for name, one in MUTANTS.items()
}


@pytest.mark.parametrize("name", EXPLORATIONS.values())
def test_the_same_exploration_of_the_real_core_finds_nothing(name: str) -> None:
    mutant = MUTANTS[name]
    report = simulate(
        BY_NAME[mutant.definition],
        faults=mutant.faults,
        shell=mutant.shell,
        redriven_from=mutant.redriven_from,
    )
    assert not report.violations, report.violations[0]
    assert report.complete
