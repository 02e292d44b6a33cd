"""The explorer finds every broken rule: each mutant of the core is killed, with a trace that shows how.

A mutant is one rule of the core's source, replaced. If a rule moves, its mutant must move with it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from saga import choreography, invariants, state
from saga.simulate import Faults, Shell, simulate
from saga.simulate.corpus import CORPUS

BY_NAME = {found.name: found for found in CORPUS}
UNGUARDED = Shell(guard=False)
# Without the guard only the core keeps effects apart, so nothing may crash or be paused.
CALM = Faults(crashes=False, refusals=False, duplicates=1)


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


MUTANTS = {
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
        "if all_passed(definition, facts):", "if False:", "chain-2", {"all_or_nothing", "final_status"}
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
    functions: list[tuple[str, Callable[..., Any]]] = [
        (name, names[name]) for name in ("decide", "heard_by", "causes")
    ]
    for name, function in functions:
        monkeypatch.setattr(choreography, name, function)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    install(monkeypatch, mutant)
    report = simulate(BY_NAME[mutant.definition], faults=mutant.faults, shell=mutant.shell)
    assert {violation.invariant for violation in report.violations} <= mutant.breaks
    assert report.violations


@pytest.mark.parametrize("name", MUTANTS)
def test_the_same_exploration_of_the_real_core_finds_nothing(name: str) -> None:
    mutant = MUTANTS[name]
    report = simulate(BY_NAME[mutant.definition], faults=mutant.faults, shell=mutant.shell)
    assert not report.violations, report.violations[0]
    assert report.complete
