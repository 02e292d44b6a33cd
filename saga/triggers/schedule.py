"""The times of SCHEDULE triggers, by cron (Debian's rules, also where the clocks change), and what to do about those
that have passed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from contracts.failure import InvalidContract
from contracts.pointers import Problem
from contracts.triggers import ScheduleTrigger

_FIELDS = 5
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is to be done when a time has come: which times fire, oldest first, and from when to when they do not."""

    fire: tuple[datetime, ...]
    missed: tuple[datetime, datetime] | None


def schedule_problems(cron: str, time_zone: str, now: datetime) -> list[Problem]:
    """All that is wrong with a schedule."""
    problems = []
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append(
            Problem("/time_zone", f"{time_zone!r} is no time zone: expected one as Europe/Zurich")
        )
    if len(cron.split()) != _FIELDS:
        problems.append(Problem("/cron", f"expected {_FIELDS} fields: minute hour day month weekday"))
        return problems
    try:
        next(CronSim(cron, now))
    except CronSimError as error:
        problems.append(Problem("/cron", f"{cron!r}: {error}"))
    except StopIteration:
        problems.append(Problem("/cron", f"{cron!r} never comes"))
    return problems


def next_time(trigger: ScheduleTrigger, after: datetime) -> datetime:
    """The first time of a schedule after an instant, in UTC. Raises InvalidContract if there is none."""
    try:
        return next(CronSim(trigger.cron, after.astimezone(ZoneInfo(trigger.time_zone)))).astimezone(UTC)
    except (CronSimError, StopIteration, ZoneInfoNotFoundError) as error:
        raise InvalidContract(
            f"trigger {trigger.name}: {trigger.cron!r} has no next time: {error}"
        ) from error


def reckon(trigger: ScheduleTrigger, due: datetime, now: datetime) -> Reckoning:
    """What to do at `now` about the times from `due` on, by the trigger's policy for those that were missed.

    `due` is one of them, even if the schedule has changed since it was armed.
    """
    now = max(due, now)
    fire: list[datetime] = []
    for time in _back_from(trigger, now, due):
        if not _fires(trigger, now - time, len(fire)):
            return Reckoning(tuple(reversed(fire)), (due, time))
        fire.append(time)
    return Reckoning(tuple(reversed(fire)), None)


def _fires(trigger: ScheduleTrigger, late: timedelta, newer: int) -> bool:
    match trigger.missed:
        case "skip":
            return newer < trigger.max_missed and late <= timedelta(seconds=trigger.grace_s)
        case "once":
            return newer == 0
        case "all":
            return newer < trigger.max_missed


def _back_from(trigger: ScheduleTrigger, now: datetime, first: datetime) -> Iterator[datetime]:
    """The times up to `now`, newest first, as far back as `first`."""
    start = (now + _INSTANT).astimezone(ZoneInfo(trigger.time_zone))
    for time in CronSim(trigger.cron, start, reverse=True):
        if (passed := time.astimezone(UTC)) <= first:
            break
        yield passed
    yield first
