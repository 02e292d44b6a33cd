"""Putting a trigger in force: whoever changes one does it, and every runner does it again, so that a crash in between
is made good. Doing it twice is doing it once.
"""

from datetime import datetime

from contracts.triggers import DueTime, EventTrigger, ScheduleTrigger, TriggerRecord
from events.bus import Bus
from events.triggers import arm_schedule, armed_schedule, disarm_schedule, listen, listen_no_more
from saga.triggers.schedule import next_time


async def put_in_force(bus: Bus, record: TriggerRecord, now: datetime) -> None:
    """Have the server listen or keep the time for an active trigger, and no more for another.

    Raises InvalidContract (no stream keeps its subject, its schedule has no next time), PublishFailed, ReadFailed.
    """
    match record.trigger:
        case EventTrigger() as trigger:
            await (listen(bus, trigger) if record.active else listen_no_more(bus, trigger))
        case ScheduleTrigger() as trigger if record.active:
            await ensure_armed(bus, trigger, record.generation, now)
        case ScheduleTrigger() as trigger:
            await disarm_schedule(bus, trigger.name)
        case _:
            return


async def ensure_armed(bus: Bus, trigger: ScheduleTrigger, generation: int, now: datetime) -> None:
    """Have a time of this generation of the schedule lie ahead. Raises InvalidContract, PublishFailed, ReadFailed."""
    there = await armed_schedule(bus, trigger.name)
    if there is None or there.generation != generation:
        await arm_schedule(
            bus, DueTime(trigger=trigger.name, generation=generation, at=next_time(trigger, now))
        )
