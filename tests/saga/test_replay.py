"""A saga played again says what happened, what everybody decided, and why."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import FactKey, FactKind, Recorded
from contracts.failure import InvalidContract, NotFound
from contracts.subjects import SAGA_STEP
from saga.choreography import decide, heard_by
from saga.decisions import Trigger
from saga.explain import INVALID, explain
from saga.frames import frames_of
from saga.recording import read_recording, require_pinned
from saga.replay import Frame, read_until, replay, up_to
from saga.simulate.corpus import CORPUS, definition
from saga.simulate.stream import simulated_fact
from saga.sources import from_recording
from saga.state import fold
from tests.saga.small import DIAMOND, actions, refuse
from tests.world import Running, World

JOIN = definition("join", {"a": "", "b": "", "c": "a b", "d": "c"})
UNDONE = ("started", "a.started", "b.started", "a.completed", "b.completed", "c.started", "c.failed/none",
          "aborted", "c.stood_down", "b.compensated", "a.compensated")  # fmt: skip


def facts(*said: str, of: SagaDefinition = JOIN) -> list[Recorded]:
    """`started`, `aborted`, `a.completed`, `a.failed/none`, ... in this order."""
    found = []
    for sequence, text in enumerate(said, 1):
        name, _, effect = text.partition("/")
        step, _, kind = name.rpartition(".")
        fact = simulated_fact(of.ref, step or SAGA_STEP, kind, effect)
        found.append(Recorded(sequence, fact))
    return found


def verdicts(frame: Frame) -> dict[str, str]:
    return {one.step: one.verdict for one in frame.heard}


def test_the_last_fact_of_a_join_runs_it_and_says_what_it_saw() -> None:
    frames = list(replay(JOIN, facts("started", "a.completed", "b.completed")))
    assert verdicts(frames[0]) == {"a": "run", "b": "run"}
    assert verdicts(frames[1]) == {"c": "wait"}
    (waiting,) = frames[1].heard
    assert ("b", "completed") in waiting.lacked
    (due,) = frames[2].heard
    assert (due.verdict, [seen.sequence for seen in due.saw]) == ("run", [2, 3])


def test_the_wave_back_is_explained_from_the_last_step_to_the_first() -> None:
    frames = list(replay(JOIN, facts(*UNDONE)))
    aborted, stood_down = frames[7], frames[8]
    assert verdicts(aborted)["c"] == "stand_down"
    assert verdicts(aborted)["a"] == verdicts(aborted)["b"] == "wait"
    assert verdicts(stood_down) == {"a": "compensate", "b": "compensate"}
    assert frames[-1].state.status == "compensated"
    assert [(one.of, one.before, one.after) for one in aborted.changes] == [
        ("_saga", "running", "compensating")
    ]


def test_what_the_rules_look_for_before_an_abort_is_seen() -> None:
    in_flight = list(replay(JOIN, facts("started", "a.started", "b.started", "a.completed", "aborted")))[-1]
    b = next(one for one in in_flight.heard if one.step == "b")
    assert (b.verdict, [seen.fact.key for seen in b.saw]) == (
        "ignore",
        [("_saga", "started"), ("b", "started"), ("a", "completed"), ("_saga", "aborted")],
    )


def test_a_condition_that_cannot_be_evaluated_is_explained() -> None:
    odd = SagaDefinition(name="odd", steps=(Step(name="a", action="t.a", when="input.missing > 1"),))
    (frame,) = replay(odd, facts("started", of=odd))
    assert verdicts(frame) == {"a": INVALID}
    assert "missing" in frame.heard[0].because


@given(st.data())
def test_explaining_decides_as_the_core_does_and_a_replay_ends_where_the_fold_does(
    data: st.DataObject,
) -> None:
    of = data.draw(st.sampled_from(CORPUS))
    step = st.sampled_from([one.name for one in of.steps])
    kinds = st.sampled_from(["started", "completed", "skipped", "failed/none", "compensated", "stood_down"])
    said = [
        f"{name}.{kind}"
        for name, kind in data.draw(st.lists(st.tuples(step, kinds), max_size=12, unique=True))
    ]
    if data.draw(st.booleans()):
        said.insert(data.draw(st.integers(0, len(said))), "aborted")
    told = facts("started", *said, of=of)
    known: dict[FactKey, Recorded] = {}
    for recorded, frame in zip(told, replay(of, told), strict=True):
        known[recorded.fact.key] = recorded
        trigger = Trigger(sequence=recorded.sequence, key=recorded.fact.key)
        hearing = {one.name for one in of.steps if recorded.fact.key in heard_by(of, one.name)}
        assert verdicts(frame).keys() == hearing
        for one in frame.heard:
            assert one.decision == decide(of, one.step, known, trigger)
            assert one == explain(of, one.step, known, trigger)
            assert {seen.fact.key for seen in one.saw} <= known.keys()
            assert not known.keys() & set(one.lacked)
    assert frame.state == fold(of, told)


async def test_every_fact_of_a_real_saga_was_decided_by_the_fact_it_names_as_its_cause(
    running: Running, world: World
) -> None:
    world.behaviours["d"] = refuse
    await running.publish(DIAMOND)
    async with running.serving(*actions(world, "a", "b", "c", "d")):
        saga_id = await running.start(DIAMOND, value=1)
        await running.ended(DIAMOND, saga_id)
    frames = list(replay(DIAMOND, await running.facts(saga_id)))
    decided = {frame.recorded.sequence: verdicts(frame) for frame in frames}
    cause_of = {frame.recorded.fact.key: frame.cause for frame in frames}
    for step in "abcd":
        cause = cause_of[step, FactKind.STARTED]
        assert cause is not None
        assert decided[cause][step] == "run"
    for step in "abc":
        cause = cause_of[step, FactKind.COMPENSATED]
        assert cause is not None
        assert decided[cause][step] == "compensate"


def test_a_replay_may_end_at_a_sequence_or_an_instant() -> None:
    told = facts("started", "a.completed", "b.completed")
    begin = told[0].fact.time
    told = [
        Recorded(one.sequence, one.fact.model_copy(update={"time": begin + timedelta(seconds=one.sequence)}))
        for one in told
    ]
    assert [one.sequence for one in up_to(told, read_until("2"))] == [1, 2]
    instant = (begin + timedelta(seconds=2)).isoformat()
    assert [one.sequence for one in up_to(told, read_until(instant))] == [1, 2]
    assert up_to(told, None) == told
    for nonsense in ("tomorrow", "2026-01-31T12:00:00", "-1"):
        with pytest.raises(InvalidContract, match="neither a sequence nor an instant"):
            read_until(nonsense)


def lines(of: SagaDefinition, *told: Recorded) -> list[str]:
    body = [{"sequence": one.sequence, "fact": one.fact.model_dump(mode="json")} for one in told]
    return [json.dumps({"definition": of.model_dump(mode="json")}), *map(json.dumps, body)]


def test_a_recording_is_replayed_in_the_order_of_the_stream() -> None:
    told = facts(*UNDONE)
    recording = read_recording(reversed(lines(JOIN, *told)))
    played = from_recording(recording, None, lambda _: None)
    assert [one.sequence for one in played.facts] == list(range(1, len(told) + 1))
    assert frames_of(played.definition, played.facts)[-1].status == "compensated"


def test_a_recording_that_is_not_as_it_should_be_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidContract, match="line 2: /"):
        read_recording([*lines(JOIN), '{"sequence": 1, "fact": {"id": ""}}'])
    with pytest.raises(InvalidContract, match="line 1: expected"):
        read_recording(["[]"])
    with pytest.raises(InvalidContract, match="line 1: "):
        read_recording(["{ nope"])
    recording = read_recording(lines(JOIN, *facts("started"))[1:])
    with pytest.raises(NotFound, match="--definition"):
        from_recording(recording, None, lambda _: None)
    with pytest.raises(NotFound, match="no saga other among the 1"):
        recording.facts("other")
    with pytest.raises(InvalidContract, match="0 sagas are recorded"):
        read_recording([]).facts(None)


def test_a_definition_with_another_content_than_the_saga_started_with_is_refused() -> None:
    (started,) = facts("started")
    pinned = started.fact.model_copy(update={"data": {"input": {}, "definition_hash": "other"}})
    with pytest.raises(InvalidContract, match="another content"):
        require_pinned(JOIN, [Recorded(1, pinned)])
    require_pinned(JOIN, [started])
