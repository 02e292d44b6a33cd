"""Larger sagas: random definitions under random schedules with every fault at once end in a legal state."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKind
from saga.invariants import audit
from saga.simulate import HARDEST, Faults, Walked, walk
from saga.state import SagaStatus, advance, fold, initial


@st.composite
def definitions(draw: st.DrawFn) -> SagaDefinition:
    count = draw(st.integers(1, 6))
    names = [f"s{number}" for number in range(count)]
    pivot = draw(st.sampled_from([*names, "", ""]))
    steps = []
    for index, name in enumerate(names):
        after = draw(st.sets(st.sampled_from(names[:index]), max_size=3)) if index else set[str]()
        special: dict[str, Any] = {
            "after": tuple(sorted(after)),
            "compensate": draw(st.booleans()),
            "pivot": name == pivot,
            "on_error": draw(st.sampled_from(["abort", "abort", "continue"])),
            "when": draw(st.sampled_from([None, None, "true"])),
        }
        steps.append(Step(name=name, action=f"simulated.{name}", **special))
    return SagaDefinition(name="random", steps=tuple(draw(st.permutations(steps))))


def walked(definition: SagaDefinition, seed: int, faults: Faults = HARDEST) -> Walked:
    return walk(definition, Random(seed).randrange, faults=faults)


SEEDS = st.integers(0, 2**32)


@settings(max_examples=400, deadline=None)
@given(definition=definitions(), seed=SEEDS, external=st.booleans())
def test_every_schedule_ends_legally(definition: SagaDefinition, seed: int, external: bool) -> None:
    end = walked(definition, seed, replace(HARDEST, effects="external" if external else "guarded"))
    assert not end.breaches, "\n".join((*end.trace, *map(str, end.breaches)))
    assert not audit(definition, end.facts, end.effects, at_rest=True)
    assert end.state.ended or end.state.status == SagaStatus.WAITING


PEOPLE = {
    "pauses": replace(HARDEST, pauses=2, parks=True),
    "wishes": replace(HARDEST, pauses=1, wishes=2, parks=True, zombies=0),
    "wishes, and undos that can be done": replace(
        HARDEST, pauses=1, wishes=2, parks=True, undo_failures=False
    ),
}


@settings(max_examples=300, deadline=None)
@given(definition=definitions(), seed=SEEDS, people=st.sampled_from(sorted(PEOPLE)), external=st.booleans())
def test_every_schedule_with_pauses_wishes_and_timers_ends_legally(
    definition: SagaDefinition, seed: int, people: str, external: bool
) -> None:
    faults = replace(PEOPLE[people], effects="external" if external else "guarded")
    end = walked(definition, seed, faults)
    assert not end.breaches, "\n".join((*end.trace, *map(str, end.breaches)))
    assert end.state.ended or end.state.status == SagaStatus.WAITING


@settings(max_examples=150, deadline=None)
@given(definition=definitions(), seed=SEEDS)
def test_without_faults_every_saga_completes_and_each_step_states_one_outcome(
    definition: SagaDefinition, seed: int
) -> None:
    end = walked(definition, seed, Faults(crashes=False, cancel=False, refusals=False))
    assert end.state.status == SagaStatus.COMPLETED
    kinds = [recorded.fact.key for recorded in end.facts]
    assert len(kinds) == len(set(kinds))
    outcomes = [step for step, kind in kinds if kind in (FactKind.COMPLETED, FactKind.SKIPPED)]
    assert sorted(outcomes) == sorted(definition.by_name)


@settings(max_examples=150, deadline=None)
@given(definition=definitions(), seed=SEEDS)
def test_an_aborted_saga_undoes_in_reverse_order(definition: SagaDefinition, seed: int) -> None:
    end = walked(definition, seed, Faults())
    closed = [
        recorded.fact.subject
        for recorded in end.facts
        if recorded.fact.subject in definition.by_name
        and recorded.fact.kind in (FactKind.COMPENSATED, FactKind.STOOD_DOWN)
    ]
    for position, step in enumerate(closed):
        assert not definition.graph.ancestors[step] & set(closed[:position])
    if end.state.status == SagaStatus.COMPENSATED:
        opened = {r.fact.subject for r in end.facts if r.fact.kind == FactKind.STARTED} - {"_saga"}
        assert set(closed) == opened


@settings(max_examples=150, deadline=None)
@given(definition=definitions(), seed=SEEDS, cut=st.integers(0, 60))
def test_the_state_is_the_same_however_it_is_folded(definition: SagaDefinition, seed: int, cut: int) -> None:
    facts = walked(definition, seed).facts
    whole = fold(definition, facts)
    state = initial(definition)
    for recorded in (*facts[:cut], *facts[:cut], *facts[cut:], *facts):
        state = advance(definition, state, recorded)
    assert state == whole
