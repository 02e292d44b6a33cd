"""Triggers that keep the time, on a real bus: the server gives the times back, and each starts one saga."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.failure import Conflict, NotFound, Stale
from contracts.triggers import DueTime, InvalidTrigger, Trigger
from events.triggers import arm_schedule, armed_schedule, disarm_schedule
from saga.triggers.runner import TriggerRunner
from tests.saga.triggers.kit import ADA, Hand, Starts, on_event, trigger

# Far ahead, so that what a test has armed does not come of itself.
NOON = datetime(2040, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(**fields: Any) -> Trigger:
    return trigger("SCHEDULE", "hourly", cron="0 * * * *", input={"value": "${event.data.time}"}, **fields)


async def come(starts: Starts, at: datetime, generation: int = 1) -> None:
    """Let a time of the schedule come now: what the server does when it is due."""
    due = DueTime(trigger="hourly", generation=generation, at=at)
    await disarm_schedule(starts.bus, "hourly")
    await starts.bus.publisher.send(
        starts.bus.names.schedule_due("hourly"), due.model_dump_json().encode(), {}
    )


async def armed(starts: Starts, at: datetime) -> DueTime:
    """The schedule's next time, as soon as it is that."""
    async with asyncio.timeout(20):
        while True:
            found = await armed_schedule(starts.bus, "hourly")
            if found and found.at == at:
                return found
            await asyncio.sleep(0.01)


async def test_a_time_that_comes_starts_one_saga_though_several_runners_live(starts: Starts) -> None:
    await starts.create(hourly())
    clock = Hand(NOON + timedelta(seconds=1))
    async with starts.runner(clock=clock), starts.runner(clock=clock):
        await come(starts, NOON)
        await starts.fired("hourly", 1)
        await armed(starts, NOON + HOUR)
        clock.now += HOUR
        await come(starts, NOON + HOUR)
        found = await starts.fired("hourly", 2)
        await armed(starts, NOON + 2 * HOUR)
    assert [one.event_id for one in reversed(found)] == [NOON.isoformat(), (NOON + HOUR).isoformat()]
    assert await starts.inputs("hourly") == [
        {"value": NOON.isoformat()},
        {"value": (NOON + HOUR).isoformat()},
    ]


async def test_the_server_gives_back_a_time_that_has_passed(starts: Starts) -> None:
    await starts.create(hourly())
    passed = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    async with starts.runner():
        await arm_schedule(starts.bus, DueTime(trigger="hourly", generation=1, at=passed))
        (firing,) = await starts.fired("hourly", 1)
    assert (firing.outcome, firing.event_id) == ("started", passed.isoformat())


async def test_a_time_that_is_given_back_twice_starts_one_saga(starts: Starts) -> None:
    await starts.create(hourly())
    async with starts.runner(clock=Hand(NOON)):
        await come(starts, NOON)
        await starts.fired("hourly", 1)
        await armed(starts, NOON + HOUR)
        await come(starts, NOON)
        found = await starts.fired("hourly", 2)
    assert Counter(one.outcome for one in found) == {"started": 1, "repeated": 1}
    assert len({one.saga_id for one in found}) == 1


async def test_missed_times_are_fired_by_the_policy_and_the_others_are_told_of(starts: Starts) -> None:
    await starts.create(hourly(missed="all", max_missed=2))
    async with starts.runner(clock=Hand(NOON + 3.5 * HOUR)):
        await come(starts, NOON)
        found = await starts.fired("hourly", 3)
        await armed(starts, NOON + 4 * HOUR)
    assert [(one.outcome, one.event_id) for one in reversed(found)] == [
        ("started", (NOON + 2 * HOUR).isoformat()),
        ("started", (NOON + 3 * HOUR).isoformat()),
        ("missed", NOON.isoformat()),
    ]
    assert found[0].reason.endswith("missed=all")


async def test_times_missed_under_skip_start_nothing_and_the_next_one_is_armed(starts: Starts) -> None:
    await starts.create(hourly(missed="skip"))
    async with starts.runner(clock=Hand(NOON + 3.5 * HOUR)):
        await come(starts, NOON)
        (missed,) = await starts.fired("hourly", 1)
        await armed(starts, NOON + 4 * HOUR)
    assert missed.outcome == "missed"
    assert await starts.inputs("hourly") == []


async def test_a_changed_schedule_goes_by_its_new_times_at_once(starts: Starts) -> None:
    await starts.create(hourly())
    await starts.triggers.update(hourly(time_zone="Asia/Kolkata"), None, ADA)
    found = await armed_schedule(starts.bus, "hourly")
    assert found is not None
    assert (found.generation, found.at.minute) == (2, 30)


async def test_a_time_that_came_before_the_schedule_changed_fires_and_the_new_times_stay(
    starts: Starts,
) -> None:
    await starts.create(hourly())
    async with starts.runner(clock=Hand(NOON)):
        await come(starts, NOON, generation=1)
        await starts.triggers.update(hourly(time_zone="Asia/Kolkata"), None, ADA)
        (firing,) = await starts.fired("hourly", 1)
        assert (firing.outcome, firing.event_id) == ("started", NOON.isoformat())
        await come(starts, NOON, generation=1)
        assert (await armed(starts, NOON + HOUR / 2)).generation == 2


async def test_switching_off_disarms_and_switching_on_arms_again(starts: Starts) -> None:
    await starts.create(hourly(enabled=False))
    assert await armed_schedule(starts.bus, "hourly") is None
    await starts.triggers.enable("hourly", ADA, enabled=True)
    assert await armed_schedule(starts.bus, "hourly") is not None
    await starts.triggers.enable("hourly", ADA, enabled=False)
    assert await armed_schedule(starts.bus, "hourly") is None


async def test_a_runner_arms_what_its_creator_could_not(starts: Starts) -> None:
    await starts.create(hourly())
    await disarm_schedule(starts.bus, "hourly")
    async with TriggerRunner(starts.bus, starts.catalogue, Hand(NOON)):
        await armed(starts, NOON + HOUR)


async def test_of_two_changes_over_the_same_reading_one_is_late(starts: Starts) -> None:
    first = await starts.create(hourly())
    await starts.triggers.update(hourly(grace_s=5), first.revision, ADA)
    with pytest.raises(Stale):
        await starts.triggers.update(hourly(), first.revision, ADA)


async def test_a_trigger_stays_of_its_kind_and_its_name_is_its_own(starts: Starts) -> None:
    await starts.create(hourly())
    with pytest.raises(Conflict, match="of kind SCHEDULE"):
        await starts.triggers.update(on_event("hourly"), None, ADA)
    with pytest.raises(Conflict, match="exists"):
        await starts.create(hourly())
    with pytest.raises(NotFound):
        await starts.triggers.get("daily")


async def test_all_mistakes_of_a_trigger_are_told_at_once_and_nothing_is_kept(starts: Starts) -> None:
    wrong = trigger(
        "SCHEDULE",
        "hourly",
        cron="61 * * * *",
        time_zone="Nowhere",
        when="event.data ===",
        input={"a": {"b": "${input.value}"}},
    ).model_copy(update={"workflow": "nothing"})
    with pytest.raises(InvalidTrigger) as caught:
        await starts.create(wrong)
    assert [problem["pointer"] for problem in caught.value.problems] == [
        "/when", "/input/a/b", "/time_zone", "/cron", "/workflow",
    ]  # fmt: skip
    assert starts.triggers.all() == []
