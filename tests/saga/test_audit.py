"""The audit finds what is broken, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.facts import Fact
from contracts.ids import fact_id
from events.read import StreamMessage
from saga.audit import Auditor, LogRows
from saga.state import SagaState

TWO = SagaDefinition(
    name="two", steps=(Step(name="a", action="t.a"), Step(name="b", action="t.b", after=("a",)))
)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = BEGIN + timedelta(days=1)
WHOLE: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("_saga", "started", {"input": {}}),
    ("a", "completed", {"output": {}, "attempt": 1, "duration_ms": 1.5}),
    ("b", "completed", {"output": {}, "attempt": 1, "duration_ms": 1.5}),
)


def message(
    sequence: int, saga_id: str, step: str, kind: str, data: dict[str, Any], ref: str
) -> StreamMessage:
    at = BEGIN + timedelta(seconds=sequence)
    fact = Fact(
        id=fact_id(saga_id, step, kind), source="/t", type=f"saga.{kind}", subject=step, time=at, sagaid=saga_id,
        definition=ref, correlationid=saga_id, data=data,
    )  # fmt: skip
    return StreamMessage(sequence, f"evt.0.two.{step}.{kind}.{saga_id}", fact.encode(), at)


def heard(*facts: tuple[str, str, dict[str, Any]], log: LogRows | None = None, **refs: str) -> Auditor:
    auditor = Auditor(lambda ref: TWO if ref == TWO.ref else None, log=log)
    for sequence, (step, kind, data) in enumerate(facts, 1):
        auditor.hear(0, message(sequence, "one", step, kind, data, refs.get(step, TWO.ref)))
    return auditor


def broken(auditor: Auditor, **options: Any) -> list[str]:
    return [str(one.breach.invariant) for one in auditor.violations(**{"silent_since": LATER} | options)]


def rows(state: SagaState, position: int, **changes: Any) -> LogRows:
    def row(of: Any) -> dict[str, Any]:
        return {name: getattr(of, name) for name in of.__slots__}

    saga = row(state) | changes
    return LogRows(
        positions={0: position},
        sagas={"one": saga},
        steps={"one": {name: row(step) for name, step in state.steps.items() if step.sequence}},
    )


def test_a_saga_as_it_should_be_is_clean() -> None:
    assert broken(heard(*WHOLE), started=["one"]) == []


def test_an_acknowledged_start_that_is_not_in_the_stream_is_lost() -> None:
    assert broken(heard(*WHOLE), started=["one", "other"]) == ["no_start_lost"]


def test_a_saga_that_is_silent_for_too_long_is_stuck() -> None:
    under_way = heard(*WHOLE[:2])
    assert broken(under_way) == ["not_stuck"]
    assert broken(under_way, silent_since=BEGIN) == []


def test_a_saga_may_be_silent_until_its_next_attempt() -> None:
    failure = {"code": "t.no", "message": "no", "retryable": True, "effect": "none", "details": {}}
    again = {
        "failure": failure, "attempt": 1, "delay_s": 9.0, "not_before": (LATER + timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    waiting = heard(WHOLE[0], ("a", "attempt_failed", again))
    assert broken(waiting) == []
    assert broken(waiting, silent_since=LATER + timedelta(hours=2)) == ["not_stuck"]


def test_a_paused_saga_waits_for_a_person() -> None:
    assert broken(heard(WHOLE[0], ("_saga", "paused", {"by": "ann", "reason": "a doubt"}))) == []


def test_a_saga_that_changes_its_definition_is_told() -> None:
    assert broken(heard(*WHOLE, b="two@2")) == ["one_definition"]


def test_a_saga_whose_start_is_no_longer_kept_is_not_judged() -> None:
    auditor = heard(*WHOLE[1:])
    assert (broken(auditor, started=["one"]), auditor.cut_off) == ([], {"one"})


def test_the_log_is_compared_at_its_own_position() -> None:
    after_two = heard(*WHOLE[:2]).sagas["one"].state
    assert broken(heard(*WHOLE, log=rows(after_two, 2))) == []
    assert broken(heard(*WHOLE, log=rows(after_two, 3))) != []


def test_a_log_that_says_otherwise_is_told() -> None:
    ended = heard(*WHOLE).sagas["one"].state
    assert broken(heard(*WHOLE, log=rows(ended, 3))) == []
    assert broken(heard(*WHOLE, log=rows(ended, 3, status="compensated"))) == ["log_equals_stream"]
    empty = LogRows(positions={0: 3}, sagas={}, steps={})
    assert broken(heard(*WHOLE, log=empty)) == ["log_equals_stream"]
