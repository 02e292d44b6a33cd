"""A trigger somebody sends, judged whole before it is kept."""

from datetime import datetime

from contracts.failure import InvalidContract, NotFound
from contracts.pointers import Problem
from contracts.references import EVENT_ROOTS, InvalidTemplate, compile_template
from contracts.triggers import InvalidTrigger, ScheduleTrigger, Trigger
from events.definitions import Definitions
from saga.conditions import OF_TRIGGERS, compile_condition
from saga.triggers.schedule import schedule_problems
from saga.workflows.catalogue import Catalogue


async def check_trigger(
    trigger: Trigger, catalogue: Catalogue, definitions: Definitions, now: datetime
) -> None:
    """Raises InvalidTrigger with everything that is known to be wrong with it."""
    problems = trigger_problems(trigger, now)
    if not await _exists(trigger.workflow, catalogue, definitions):
        problems.append(Problem("/workflow", f"there is no workflow or definition {trigger.workflow}"))
    if problems:
        raise InvalidTrigger(trigger.name, problems)


def trigger_problems(trigger: Trigger, now: datetime) -> list[Problem]:
    """What is wrong with a trigger by itself: its filter, its input mapping, its schedule."""
    problems = []
    if trigger.when is not None:
        try:
            compile_condition(trigger.when, OF_TRIGGERS)
        except InvalidContract as error:
            problems.append(Problem("/when", str(error)))
    try:
        compile_template(trigger.input, EVENT_ROOTS)
    except InvalidTemplate as error:
        problems += [Problem(f"/input{found.pointer}", found.detail) for found in error.problems]
    if isinstance(trigger, ScheduleTrigger):
        problems += schedule_problems(trigger.cron, trigger.time_zone, now)
    return problems


async def _exists(workflow: str, catalogue: Catalogue, definitions: Definitions) -> bool:
    name, _, version = workflow.partition("@")
    try:
        entry = await catalogue.get(name)
    except NotFound:
        found = await definitions.fetch(workflow) if version else definitions.latest(name)
        return found is not None
    return not version or version in {str(one.number) for one in entry.record.versions}
