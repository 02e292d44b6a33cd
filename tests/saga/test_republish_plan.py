"""What of a recorded saga is played, what is left, and what is a difference: pure, over every shape of saga."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.children import LABELS
from contracts.definition import SagaDefinition
from contracts.directives import Directives, Redrives, directives_of
from contracts.facts import ABORTED_KEY, Fact, FactKey, FactKind, Recorded
from contracts.failure import InvalidContract
from contracts.ids import new_saga_id
from contracts.subjects import SAGA_STEP, Subjects
from saga.republish.answers import differences, instead
from saga.republish.changes import Changes
from saga.republish.fences import fence_of
from saga.republish.pace import Pace, factor_of
from saga.republish.plan import Move, Plan, plan
from saga.republish.playing import children_of_services
from saga.simulate import HARDEST, Faults, walk
from saga.simulate.corpus import CORPUS
from saga.simulate.stream import simulated_fact

ACTIONS = ("simulated.a", "simulated.b", "simulated.c", "simulated.s2")
FORK = next(one for one in CORPUS if one.name == "fork")
PEOPLE = Faults(parent=True, zombies=1, retries=True, parks=True, undo_failures=True, pauses=1, wishes=2)
stories = st.builds(
    lambda of, seed, faults: (of, list(walk(of, Random(seed).randrange, faults=faults).facts)),
    st.sampled_from(CORPUS),
    st.integers(0, 2**32),
    st.sampled_from([HARDEST, Faults(), PEOPLE]),
)
served = st.sets(st.sampled_from(ACTIONS))


def outcome(fact: Fact) -> bool:
    return fact.subject == SAGA_STEP and fact.kind in ("completed", "compensated", "failed")


@settings(deadline=None, max_examples=200)
@given(stories, served)
def test_every_fact_is_played_or_left_in_its_order(
    story: tuple[SagaDefinition, list[Recorded]], served: set[str]
) -> None:
    of, facts = story
    planned = plan(of, facts, served)
    played = [one for move in planned.moves for one in move.facts]
    left = [one for move in planned.left for one in move.facts]
    assert [one.sequence for one in played] == sorted(one.sequence for one in played)
    meant = {one.sequence for one in facts if not outcome(one.fact)}
    assert {one.sequence for one in (*played, *left)} == meant
    assert len(played) + len(left) == len(meant)
    assert {planned.action_of(one.fact) for one in left} <= served


@settings(deadline=None, max_examples=200)
@given(stories, served)
def test_nothing_waits_for_what_is_said_later_or_not_waited_for(
    story: tuple[SagaDefinition, list[Recorded]], served: set[str]
) -> None:
    of, facts = story
    planned = plan(of, facts, served)
    known = {one.fact.key for move in planned.moves for one in move.facts}
    known |= {move.facts[0].fact.key for move in planned.awaited}
    for move in (*planned.moves, *planned.left):
        before = {one.fact.key for one in facts if one.sequence < move.facts[0].sequence}
        assert move.needs <= before & known


@settings(deadline=None, max_examples=200)
@given(stories, served)
def test_services_that_say_what_is_recorded_differ_in_nothing_at_no_moment(
    story: tuple[SagaDefinition, list[Recorded]], served: set[str]
) -> None:
    of, facts = story
    said: dict[FactKey, Recorded] = {}
    waited_for = list(plan(of, facts, served).awaited)
    for recorded in facts:
        for move in waited_for:
            if move.needs <= said.keys():
                assert instead(move, said) is None
        said.setdefault(recorded.fact.key, recorded)
        waited_for = [move for move in waited_for if move.facts[0].fact.key not in said]
    for move in plan(of, facts, served).awaited:
        if said[move.facts[0].fact.key].sequence == move.facts[0].sequence:
            assert list(differences(move, said, 1.0)) == []


def told(*texts: str, of: SagaDefinition = FORK) -> list[Recorded]:
    """Facts in this order: `a.completed`, `_saga.aborted`, `b.failed/none`."""
    facts = []
    for sequence, text in enumerate(("_saga.started", *texts), 1):
        name, _, effect = text.partition("/")
        facts.append(Recorded(sequence, simulated_fact(of.ref, *name.split("."), effect)))
    return facts


def changed(facts: Sequence[Recorded], number: int, **data: Any) -> Sequence[Recorded]:
    fact = facts[number].fact
    facts[number].fact = fact.model_copy(update={"data": {**fact.data, **data}})
    return facts


def named(move: Move) -> list[str]:
    return [".".join(one.fact.key) for one in move.facts]


def test_a_step_that_turns_the_saga_round_is_played_with_its_abort() -> None:
    facts = told("a.started", "a.completed", "b.failed/none", "_saga.aborted/none", "a.compensated")
    changed(facts, 4, step="b")
    moves = plan(FORK, facts, ()).moves
    assert [named(move) for move in moves] == [
        ["_saga.started"], ["a.started"], ["a.completed"], ["b.failed", "_saga.aborted"], ["a.compensated"],
    ]  # fmt: skip


def test_an_abort_is_left_to_the_service_whose_step_has_failed() -> None:
    facts = told("a.started", "a.completed", "b.failed/none", "_saga.aborted/none", "a.compensated")
    changed(facts, 4, step="b")
    planned = plan(FORK, facts, {"simulated.b"})
    assert [named(move) for move in planned.left] == [["b.failed"], ["_saga.aborted"]]
    assert [planned.action_of(move.facts[0].fact) for move in planned.left] == ["simulated.b"] * 2
    said = {one.fact.key: one for one in told("a.completed", "b.completed")}
    assert instead(planned.left[1], said) == ("b", "completed")
    assert (SAGA_STEP, FactKind.ABORTED) in planned.moves[-1].needs


def test_a_step_says_nothing_more_once_its_saga_was_aborted_or_it_has_said_something_else() -> None:
    facts = told("a.completed", "b.started", "b.completed", "c.completed")
    planned = plan(FORK, facts, {"simulated.b"})
    started, completed = planned.awaited
    said = {one.fact.key: one for one in told("a.completed", "b.started")}
    assert instead(completed, said) is None
    aborted = said | {one.fact.key: one for one in told("_saga.aborted")}
    assert instead(completed, aborted) == ABORTED_KEY
    skipped = said | {one.fact.key: one for one in told("b.skipped")}
    assert instead(completed, skipped) == ("b", "skipped")
    (silent,) = differences(completed, said, 10.0)
    assert (silent.was, silent.now) == ("completed", "nothing within 10 s")
    assert list(differences(started, said, 10.0)) == []


def test_what_was_recorded_before_a_fact_is_not_said_instead_of_it() -> None:
    facts = told("a.completed", "b.skipped", "b.started", "_saga.aborted", "b.stood_down")
    started = plan(FORK, facts, {"simulated.b"}).awaited[1]
    said = {one.fact.key: one for one in facts[:3]}
    assert started.facts[0].fact.kind == "started"
    assert instead(started, said) is None


def test_what_people_did_waits_for_all_that_was_said_and_a_step_for_what_it_heard() -> None:
    facts = told("a.started", "a.completed", "b.started", "c.started", "_saga.paused", "c.completed")
    moves = {named(move)[-1]: move for move in plan(FORK, facts, ()).moves}
    assert moves["c.started"].needs == {("a", "completed")}
    assert moves["_saga.paused"].needs == {one.fact.key for one in facts[:5]}
    assert ("b", "started") not in moves["c.completed"].needs


def test_a_signal_of_a_service_is_left_to_it_and_one_of_a_person_is_played() -> None:
    facts = told("a.completed", "b.signalled", "c.signalled")
    changed(facts, 2, by="simulated.c")
    changed(facts, 3, by="ann")
    planned = plan(FORK, facts, {"simulated.b", "simulated.c"})
    assert [named(move) for move in planned.left] == [["b.signalled"]]
    assert planned.action_of(planned.left[0].facts[0].fact) == "simulated.c"


def test_what_a_redrive_has_taken_over_is_played_though_somebody_serves_it() -> None:
    text = Directives(redrives=Redrives(saga_id=new_saga_id(), from_steps=("b", "c"))).encode()
    facts = [
        Recorded(one.sequence, one.fact.model_copy(update={"directives": text}))
        for one in told("a.completed", "b.completed", "c.completed")
    ]
    planned = plan(FORK, facts, {"simulated.a", "simulated.b"})
    assert [named(move) for move in planned.moves] == [["_saga.started"], ["a.completed"], ["c.completed"]]


def test_children_of_a_served_step_are_begun_by_it_with_theirs() -> None:
    def saga(saga_id: str, parent: str, step: str, served: set[str]) -> Plan:
        labels = dict(zip(LABELS, (parent, step, "0"), strict=True)) if parent else {}
        facts = list(changed(told("a.completed"), 0, labels=labels))
        return plan(FORK, facts, served)

    plans = {
        "top": saga("top", "", "", {"simulated.b"}),
        "child": saga("child", "top", "b", {"simulated.b"}),
        "grandchild": saga("grandchild", "child", "c", {"simulated.b"}),
        "other": saga("other", "top", "c", {"simulated.b"}),
        "alone": saga("alone", "elsewhere", "b", {"simulated.b"}),
    }
    assert children_of_services(plans) == ["child", "grandchild"]


@given(st.text(alphabet="ab-{}", max_size=8))
def test_new_ids_stand_wherever_the_old_ones_did(around: str) -> None:
    old, new, other = new_saga_id(), new_saga_id(), new_saga_id()
    fact = simulated_fact(FORK.ref, "b", "completed").model_copy(
        update={
            "id": f"{old}.b.completed",
            "sagaid": old,
            "correlationid": other,
            "causationid": f"{old}.a.completed",
            "data": {"output": {"child": [f"{around} {old} {around}", other]}},
        }
    )
    there = Changes(ids={old: new}).of(fact, {})
    assert (there.id, there.sagaid, there.correlationid) == (f"{new}.b.completed", new, other)
    assert there.causationid == f"{new}.a.completed"
    assert there.data == {"output": {"child": [f"{around} {new} {around}", other]}}
    assert Changes(ids={new: old}, effects=True).of(there, {}).data == fact.data


def test_an_id_of_somebodys_own_is_only_changed_where_it_names_the_saga() -> None:
    fact = simulated_fact(FORK.ref, "b", "completed").model_copy(
        update={"id": "order-7.b.completed", "sagaid": "order-7", "data": {"output": {"order": "order-7"}}}
    )
    there = Changes(ids={"order-7": "order-8"}).of(fact, {})
    assert (there.id, there.data["output"]["order"]) == ("order-8.b.completed", "order-7")


def test_a_played_fact_says_that_its_saga_runs_dry_and_keeps_what_else_goes_with_it() -> None:
    text = Directives(user="ann").encode()
    fact = simulated_fact(FORK.ref, "b", "completed").model_copy(update={"directives": text})
    assert directives_of(Changes().of(fact, {}).directives) == Directives(user="ann", dry_run=True)
    assert Changes(effects=True).of(fact, {}).directives == text
    unknown = fact.model_copy(update={"directives": '{"moon": "full"}'})
    with pytest.raises(InvalidContract, match="directives of a fact"):
        Changes(effects=True).directives(unknown)


def fence(
    text: str, of: SagaDefinition = FORK, *, in_batch: bool = False, **data: Any
) -> tuple[str, int] | None:
    """The step and kind that a fact is fenced on, and at which sequence; another abort was played as #7."""
    (*_, recorded) = changed(told(text), -1, **data) if text != "_saga.started" else told()
    found = fence_of(recorded.fact, of, Subjects(), last_abort=7, in_batch=in_batch)
    return (".".join(found.subject.split(".")[3:5]), found.sequence) if found else None


def test_facts_are_stored_under_the_fences_of_those_who_stated_them_first() -> None:
    assert fence("_saga.started") == ("_saga.started", 0)
    for kind in ("started", "completed", "skipped", "failed", "suspended", "held", "attempt_failed"):
        assert fence(f"b.{kind}") == ("_saga.aborted", 0)
    for text in ("b.compensated", "b.stood_down", "b.woken", "b.signalled", "_saga.paused"):
        assert fence(text) is None
    assert fence("b.attempt_failed", compensation=True) is None
    assert fence("_saga.aborted") == ("_saga.aborted", 7)
    assert fence("_saga.aborted", in_batch=True) is None
    pivot = next(one for one in CORPUS if one.name == "fork-pivot")
    assert fence("_saga.aborted", pivot) == fence("_saga.aborted", pivot, in_batch=True) == ("b.completed", 0)


def test_a_speed_is_original_max_or_a_factor() -> None:
    assert [factor_of(text) for text in ("max", "original", "10", "0.5")] == [None, 1.0, 10.0, 0.5]
    for wrong in ("0", "-1", "inf", "nan", "fast"):
        with pytest.raises(InvalidContract, match="--speed"):
            factor_of(wrong)


async def test_a_fact_is_due_as_long_after_the_first_as_it_was() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    begun = datetime(2026, 1, 31, tzinfo=UTC)
    pace = Pace(10.0, begun, lambda: 50.0, sleep)
    for seconds in (0, 30, -5):
        await pace.due(begun + timedelta(seconds=seconds))
    assert slept == [3.0]
    await Pace(None, begun, lambda: 50.0, sleep).due(begun + timedelta(days=1))
    assert slept == [3.0]
