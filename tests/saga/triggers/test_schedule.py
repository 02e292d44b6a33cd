"""The times of schedules: by their time zone, also where clocks change, and what happens to those that were missed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.failure import InvalidContract
from contracts.triggers import ScheduleTrigger
from saga.triggers.schedule import next_time, reckon, schedule_problems

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def trigger(cron: str = "0 * * * *", **fields: Any) -> ScheduleTrigger:
    return ScheduleTrigger(kind="SCHEDULE", name="nightly", workflow="orders", cron=cron, **fields)


def test_a_schedule_goes_by_the_clock_of_its_time_zone() -> None:
    nine = trigger("0 9 * * MON-FRI", time_zone="Europe/Zurich")
    friday = datetime(2026, 3, 27, 12, tzinfo=UTC)
    monday = next_time(nine, friday)
    # The clocks have gone forward in between.
    assert monday == datetime(2026, 3, 30, 7, tzinfo=UTC)
    assert next_time(trigger("0 9 * * MON-FRI"), friday) == datetime(2026, 3, 30, 9, tzinfo=UTC)


def test_a_time_that_does_not_exist_that_day_fires_once_and_one_that_comes_twice_too() -> None:
    daily = trigger("30 2 * * *", time_zone="Europe/Zurich")
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert next_time(daily, spring) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    first = next_time(daily, autumn)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next_time(daily, first) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_a_time_that_has_just_come_fires_and_nothing_is_missed() -> None:
    for missed in ("skip", "once", "all"):
        found = reckon(trigger(missed=missed), NOON, NOON + timedelta(milliseconds=3))
        assert (found.fire, found.missed) == ((NOON,), None)


def test_a_clock_that_is_behind_the_servers_does_not_lose_the_time() -> None:
    assert reckon(trigger(), NOON, NOON - timedelta(seconds=2)).fire == (NOON,)


@pytest.mark.parametrize(
    ("missed", "fire", "last"),
    [
        ("skip", (), NOON + 4 * HOUR),
        ("once", (NOON + 4 * HOUR,), NOON + 3 * HOUR),
        ("all", (NOON + 2 * HOUR, NOON + 3 * HOUR, NOON + 4 * HOUR), NOON + HOUR),
    ],
)
def test_times_that_were_missed_go_by_the_policy(
    missed: Literal["skip", "once", "all"], fire: tuple[datetime, ...], last: datetime
) -> None:
    found = reckon(trigger(missed=missed, max_missed=3), NOON, NOON + 4.5 * HOUR)
    assert (found.fire, found.missed) == (fire, (NOON, last))


@settings(max_examples=200, deadline=None)
@given(
    cron=st.sampled_from(["0 * * * *", "30 2 * * *", "*/20 1-3 * * *", "15 3 L * *", "0 9 * * MON#1"]),
    zone=st.sampled_from(["UTC", "Europe/Zurich", "America/St_Johns", "Australia/Lord_Howe"]),
    since=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda time: time.replace(tzinfo=UTC)),  # noqa: DTZ001
    late_s=st.integers(0, 400_000),
    missed=st.sampled_from(["skip", "once", "all"]),
    most=st.integers(1, 5),
)
def test_every_time_is_fired_or_missed_and_none_twice(
    cron: str, zone: str, since: datetime, late_s: int, missed: Any, most: int
) -> None:
    one = trigger(cron, time_zone=zone, missed=missed, max_missed=most, grace_s=3_600)
    due = next_time(one, since)
    now = due + timedelta(seconds=late_s)
    times = [due]
    while (following := next_time(one, times[-1])) <= now:
        times.append(following)
    found = reckon(one, due, now)
    assert list(found.fire) == (times[-len(found.fire) :] if found.fire else [])
    left = times[: len(times) - len(found.fire)]
    assert found.missed == ((left[0], left[-1]) if left else None)
    assert all(earlier < later for earlier, later in pairwise(found.fire))


@pytest.mark.parametrize(
    ("cron", "zone", "pointer"),
    [
        ("* * * *", "UTC", "/cron"),
        ("* * * * * *", "UTC", "/cron"),
        ("61 * * * *", "UTC", "/cron"),
        ("0 0 30 2 *", "UTC", "/cron"),
        ("0 0 * * *", "Europe/Atlantis", "/time_zone"),
        ("0 0 * * *", "../etc/passwd", "/time_zone"),
    ],
)
def test_a_schedule_that_cannot_work_is_told_with_its_place(cron: str, zone: str, pointer: str) -> None:
    assert [problem.pointer for problem in schedule_problems(cron, zone, NOON)] == [pointer]


def test_both_mistakes_of_a_schedule_are_told() -> None:
    assert len(schedule_problems("never", "Nowhere", NOON)) == 2
    with pytest.raises(InvalidContract, match="no next time"):
        next_time(trigger("never"), NOON)
