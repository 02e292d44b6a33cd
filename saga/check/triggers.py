"""One trigger: its filter, mapping and schedule, and whether the event has what the workflow is given."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from contracts.actions import DOMAINS, domain_actions
from contracts.checks import input_shape
from contracts.definition import SagaDefinition
from contracts.fitting import Shape, misfit
from contracts.pointers import parts_of
from contracts.references import EVENT_ROOTS, Use, compile_template
from contracts.triggers import EventTrigger, Trigger
from saga.check.findings import Finding, Placed
from saga.triggers.checking import trigger_problems

_TOLD = ("id", "source", "type", "subject", "time", "data")


def check_trigger(
    placed: Placed[Trigger], definitions: Iterable[SagaDefinition], now: datetime
) -> Iterator[Finding]:
    """What is wrong with a trigger, of these definitions or of others; of several versions, with all of them."""
    trigger = placed.content
    problems = trigger_problems(trigger, now)
    for problem in problems:
        yield Finding("document.invalid", placed.place, problem.pointer, problem.detail)
    if problems:
        return
    started = [one for one in definitions if trigger.workflow in (one.name, one.ref)]
    wanted = [input_shape(one) for one in started] or [Shape(True, {})]
    data = _data_of(trigger)
    for pointer, detail in sorted(set.intersection(*({*_misfits(trigger, data, one)} for one in wanted))):
        yield Finding("trigger.input", placed.place, f"/input{pointer}", detail)


def _misfits(trigger: Trigger, data: Shape, wanted: Shape) -> Iterator[tuple[str, str]]:
    if isinstance(trigger.input, dict):
        fields = Shape({"type": "object", "properties": dict.fromkeys(trigger.input, True)}, {})
        if why := misfit(fields, wanted):
            yield "", f"{trigger.workflow} is given {why}"
    for use in compile_template(trigger.input, EVENT_ROOTS).uses:
        if (why := _unknown(use, data)) and not use.reference.optional:
            yield use.pointer, f"${{{use.reference.text}}}: {why}"
        elif use.whole and use.reference.path[:1] == ("data",) and not use.reference.optional:
            taken = wanted.at(parts_of(use.pointer))
            if why := misfit(data.at(use.reference.path[1:]), taken):
                yield use.pointer, f"${{{use.reference.text}}} yields {why}"


def _unknown(use: Use, data: Shape) -> str:
    first, *inside = use.reference.path or ("data",)
    if first not in _TOLD:
        return f"an event has no {first!r}, but: {', '.join(_TOLD)}"
    return data.lacks(inside) if first == "data" else ""


def _data_of(trigger: Trigger) -> Shape:
    """What the event that it hears carries; anything, if that is not known."""
    heard = trigger.event if isinstance(trigger, EventTrigger) else None
    for domain in DOMAINS:
        for action in domain_actions(domain):
            for event in action.emits:
                if event.event_name == heard:
                    schema = event.model_json_schema(mode="serialization")
                    return Shape(schema, schema)
    return Shape(True, {})
