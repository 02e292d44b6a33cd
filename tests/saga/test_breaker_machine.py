"""The pure part of breakers: whatever is heard in whatever order, its promises hold."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.breakers import BreakerConfig, BreakerEvent, BreakerRecord, BreakerState
from saga.breaker_machine import Configure, Delete, Ended, Heard, Probe, Reset, advance, retry_after_s

START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = BreakerConfig(
    failure_threshold=2, reset_timeout_s=10.0, half_open_max_calls=2, success_threshold=2, probe_lease_s=5.0
)
CONFIGS = st.builds(
    BreakerConfig,
    failure_threshold=st.integers(1, 4),
    reset_timeout_s=st.floats(1, 20),
    half_open_max_calls=st.integers(1, 3),
    success_threshold=st.integers(1, 3),
    probe_lease_s=st.floats(1, 20),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def after(record: BreakerRecord, *heard: Heard) -> BreakerRecord:
    for one in heard:
        record = advance(record, CONFIG, one)
    return record


def failed(record: BreakerRecord, seconds: float = 0, probe: str | None = None) -> BreakerRecord:
    return after(record, Ended(at=at(seconds), generation=record.generation, worked=False, probe=probe))


def worked(record: BreakerRecord, seconds: float = 0, probe: str | None = None) -> BreakerRecord:
    return after(record, Ended(at=at(seconds), generation=record.generation, worked=True, probe=probe))


@pytest.fixture
def opened() -> BreakerRecord:
    return failed(failed(BreakerRecord(name="b")))


def test_success_without_failures_on_record_changes_nothing() -> None:
    record = BreakerRecord(name="b")
    assert worked(record) is record


def test_a_success_forgets_the_failures_before_it() -> None:
    assert failed(worked(failed(BreakerRecord(name="b")))).state is BreakerState.CLOSED


def test_probes_are_let_in_up_to_the_limit_and_only_after_the_timeout(opened: BreakerRecord) -> None:
    assert after(opened, Probe(at=at(9.9), probe="early")) is opened
    half_open = after(opened, *(Probe(at=at(10), probe=probe) for probe in "abc"))
    assert (half_open.state, set(half_open.probes)) == (BreakerState.HALF_OPEN, {"a", "b"})


def test_enough_successes_of_probes_close_it(opened: BreakerRecord) -> None:
    probing = after(opened, Probe(at=at(10), probe="a"), Probe(at=at(10), probe="b"))
    once = worked(probing, 11, "a")
    assert (once.state, set(once.probes)) == (BreakerState.HALF_OPEN, {"b"})
    assert worked(once, 11, "b").state is BreakerState.CLOSED


def test_a_prober_that_died_gives_its_place_to_another_when_its_lease_has_run_out(
    opened: BreakerRecord,
) -> None:
    probing = after(opened, Probe(at=at(10), probe="a"), Probe(at=at(12), probe="b"))
    assert after(probing, Probe(at=at(14.9), probe="c")) is probing
    assert set(after(probing, Probe(at=at(15), probe="c")).probes) == {"b", "c"}


def test_a_result_of_an_older_generation_counts_for_nothing(opened: BreakerRecord) -> None:
    late = Ended(at=at(1), generation=opened.generation - 1, worked=True)
    assert after(opened, late) is opened


def test_nobody_waits_longer_than_the_timeout_when_clocks_differ(opened: BreakerRecord) -> None:
    assert retry_after_s(opened, CONFIG, at(-3600)) == CONFIG.reset_timeout_s


def test_a_deleted_breaker_never_repeats_its_numbers(opened: BreakerRecord) -> None:
    closed = after(opened, Reset(at=at(1), by="ada", reason="r"))
    deleted = after(closed, Delete(at=at(2), by="ada", reason="r"))
    again = failed(failed(deleted, 3), 3)
    assert deleted.deleted
    assert [event.revision for event in again.history] == [1, 2, 3, 4]
    assert [event.kind for event in again.history] == ["open", "closed", "deleted", "open"]


class AnyBreaker(RuleBasedStateMachine):
    """Calls come and end, die, are late; people reset and configure; time passes."""

    @initialize(config=CONFIGS)
    def new(self, config: BreakerConfig) -> None:
        self.now_s = 0.0
        self.default = config
        self.record = BreakerRecord(name="b")
        self.under_way: list[tuple[int, str | None]] = []
        self.numbers = 0
        self.told: list[BreakerEvent] = []

    def hear(self, heard: Heard) -> None:
        before = self.record
        self.record = advance(before, self.default, heard)
        self.told += [event for event in self.record.history if event.revision > before.revision]
        assert self.record.generation - before.generation in (0, 1)
        assert (self.record.state is not before.state) <= (self.record.generation > before.generation)
        assert (self.record.state is not before.state) <= (self.record.revision > before.revision)

    @rule(seconds=st.floats(0.1, 30))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def a_call_comes(self) -> None:
        if self.record.state is BreakerState.CLOSED:
            self.under_way.append((self.record.generation, None))
            return
        self.numbers += 1
        probe = str(self.numbers)
        may = retry_after_s(self.record, self.default, at(self.now_s)) == 0
        self.hear(Probe(at=at(self.now_s), probe=probe))
        assert may or probe not in self.record.probes
        if probe in self.record.probes:
            self.under_way.append((self.record.generation, probe))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), worked=st.sampled_from([True, False, None]))
    def a_call_ends(self, data: Any, worked: bool | None) -> None:
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        generation, probe = self.under_way.pop(index)
        before = self.record
        self.hear(Ended(at=at(self.now_s), generation=generation, worked=worked, probe=probe))
        assert self.record is before or generation == before.generation

    @rule()
    def a_person_resets(self) -> None:
        self.hear(Reset(at=at(self.now_s), by="ada", reason="r"))
        assert (self.record.state, self.record.failures) == (BreakerState.CLOSED, 0)

    @rule(config=CONFIGS)
    def a_person_configures(self, config: BreakerConfig) -> None:
        before = self.record
        self.hear(Configure(at=at(self.now_s), by="ada", reason="r", config=config))
        assert (self.record.state, self.record.probes) == (before.state, before.probes)

    @invariant()
    def only_half_open_has_probes_and_no_more_than_were_ever_allowed(self) -> None:
        assert not self.record.probes or self.record.state is BreakerState.HALF_OPEN
        assert len(self.record.probes) <= 3

    @invariant()
    def only_an_open_breaker_has_been_opened(self) -> None:
        assert (self.record.opened_at is not None) == (self.record.state is BreakerState.OPEN)

    @invariant()
    def a_closed_breaker_has_not_reached_its_threshold_unless_it_was_lowered(self) -> None:
        if self.record.state is BreakerState.CLOSED and self.record.config is None:
            assert self.record.failures < self.default.failure_threshold

    @invariant()
    def events_are_numbered_without_gaps_and_lead_to_the_state(self) -> None:
        assert [event.revision for event in self.told] == list(range(1, len(self.told) + 1))
        assert not self.told or self.told[-1].state is self.record.state

    @invariant()
    def what_is_written_is_what_is_read(self) -> None:
        assert BreakerRecord.decode(self.record.model_dump_json().encode()) == self.record


AnyBreaker.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyBreaker = AnyBreaker.TestCase
