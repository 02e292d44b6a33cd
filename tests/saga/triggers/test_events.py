"""Triggers that hear events, on a real bus: one saga for each event, whoever tells it how often."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from contracts.catalogue import WorkflowStatus
from contracts.events import Event, EventMessage
from contracts.ids import new_saga_id
from contracts.triggers import InvalidTrigger
from events.names import MSG_ID
from saga.triggers.firing import Event as Heard
from saga.workflows import changes
from tests.saga.triggers.kit import ADA, Starts, on_event, trigger


class Ordered(Event, name="shop.ordered"):
    """Somebody has ordered something."""

    value: int
    land: str = "ch"


async def tell(
    starts: Starts, value: int, *, id: str | None = None, source: str = "/shop", **data: Any
) -> str:
    """Publish `shop.ordered`, as a service does; its id."""
    message = EventMessage.of(
        Ordered(value=value, **data), id=id or new_saga_id(), key="o-1", source=source, time=datetime.now(UTC)
    )
    await starts.bus.publisher.send(starts.bus.subjects.event("shop.ordered", "o-1"), message.encode(), {})
    return message.id


async def test_an_event_starts_the_workflow_with_its_data(starts: Starts) -> None:
    await starts.create(on_event())
    async with starts.runner("orders-in"):
        told = await tell(starts, 7)
        (firing,) = await starts.fired("orders-in", 1)
    assert (firing.outcome, firing.event_id, firing.definition) == ("started", told, "orders@1")
    (facts,) = [await starts.running.facts(firing.saga_id)]
    started = facts[0].fact
    assert started.data["labels"] == {"trigger": "orders-in"}
    assert started.source == "/triggers/orders-in"
    assert started.data["input"] == {"value": 7, "land": "ch"}


async def test_the_mapping_and_the_filter_decide_what_and_whether(starts: Starts) -> None:
    mapping = {"value": "${event.data.value}", "note": "{{event.type}} of ${event.subject} in {{land}}"}
    await starts.create(on_event(when='event.data.land == "ch"', input=mapping))
    async with starts.runner("orders-in"):
        await tell(starts, 1, land="de")
        await tell(starts, 2)
        await starts.fired("orders-in", 1)
    assert await starts.inputs("orders-in") == [{"value": 2, "note": "shop.ordered of o-1 in ch"}]


async def test_an_event_that_comes_twice_starts_one_saga(starts: Starts) -> None:
    await starts.create(on_event())
    async with starts.runner("orders-in"):
        told = await tell(starts, 7)
        await tell(starts, 7, id=told)
        found = await starts.fired("orders-in", 2)
    assert [firing.outcome for firing in found] == ["repeated", "started"]
    assert len({firing.saga_id for firing in found}) == 1


async def test_events_of_two_sources_are_two_though_they_have_the_same_id(starts: Starts) -> None:
    await starts.create(on_event())
    async with starts.runner("orders-in"):
        await tell(starts, 1, id="1", source="/shop/north")
        await tell(starts, 2, id="1", source="/shop/south")
        await starts.fired("orders-in", 2)
    assert sorted(one["value"] for one in await starts.inputs("orders-in")) == [1, 2]


async def test_several_runners_share_the_events_and_none_starts_twice(starts: Starts) -> None:
    await starts.create(on_event())
    async with starts.runner("orders-in"), starts.runner("orders-in"):
        for value in range(30):
            await tell(starts, value)
        found = await starts.fired("orders-in", 30)
    assert Counter(firing.outcome for firing in found) == {"started": 30}
    assert sorted(one["value"] for one in await starts.inputs("orders-in")) == list(range(30))


async def test_what_happens_while_no_runner_lives_starts_when_one_does(starts: Starts) -> None:
    await starts.create(on_event())
    await tell(starts, 7)
    async with starts.runner("orders-in"):
        await starts.fired("orders-in", 1)
    assert await starts.inputs("orders-in") == [{"value": 7, "land": "ch"}]


async def test_what_happens_while_a_trigger_is_off_starts_nothing(starts: Starts) -> None:
    await starts.create(on_event())
    async with starts.runner("orders-in"):
        await starts.triggers.enable("orders-in", ADA, enabled=False)
        await tell(starts, 1)
        await starts.triggers.enable("orders-in", ADA, enabled=True)
        await tell(starts, 2)
        await starts.fired("orders-in", 1)
    assert [one["value"] for one in await starts.inputs("orders-in")] == [2]


async def test_a_deleted_trigger_hears_nothing_and_its_name_can_be_given_again(starts: Starts) -> None:
    await starts.create(on_event())
    async with starts.runner("orders-in"):
        await starts.triggers.delete("orders-in", None, ADA)
        await tell(starts, 1)
        again = await starts.create(on_event())
        await tell(starts, 2)
        await starts.fired("orders-in", 1)
    assert again.record.generation == 3
    assert [one["value"] for one in await starts.inputs("orders-in")] == [2]


async def test_a_trigger_that_listens_elsewhere_from_now_on_does(starts: Starts) -> None:
    await starts.create(on_event(event="shop.paid"))
    async with starts.runner("orders-in"):
        await starts.triggers.update(on_event(event="*.ordered"), None, ADA)
        await tell(starts, 5)
        await starts.fired("orders-in", 1)
    assert [one["value"] for one in await starts.inputs("orders-in")] == [5]


async def test_a_trigger_that_listens_to_another_stream_leaves_nothing_behind_in_the_first(
    starts: Starts,
) -> None:
    await starts.create(on_event())
    stream, durable = starts.bus.names.events, starts.bus.names.trigger_consumer("orders-in")
    await starts.bus.jetstream.consumer_info(stream, durable)
    await starts.triggers.update(trigger("EVENT", subject=starts.bus.names.firing("*")), None, ADA)
    with pytest.raises(NotFoundError):
        await starts.bus.jetstream.consumer_info(stream, durable)


async def test_any_message_of_a_stream_can_be_an_event(starts: Starts) -> None:
    """Also JSON that is no CloudEvent, and text."""
    bus = starts.bus
    subject = f"{bus.subjects.events_root}.shop.*.o-9"
    mapping = {"value": "${event.data}", "of": "${event.subject}"}
    await starts.create(trigger("EVENT", subject=subject, input=mapping))
    async with starts.runner("orders-in"):
        at = bus.subjects.event("shop.counted", "o-9")
        for payload in (json.dumps(3).encode(), b"plain text"):
            await bus.publisher.send(at, payload, {MSG_ID: payload.hex()})
        found = await starts.fired("orders-in", 2)
    assert [one.event_id for one in reversed(found)] == [b"3".hex(), b"plain text".hex()]
    assert await starts.inputs("orders-in") == [{"value": 3, "of": at}, {"value": "plain text", "of": at}]


async def test_what_cannot_start_is_refused_in_the_history_and_holds_up_nothing(starts: Starts) -> None:
    await starts.create(on_event(input={"value": "${event.data.missing}"}))
    await starts.create(on_event("whole", when="event.data.value / 0 > 1"))
    async with starts.runner("orders-in", "whole"):
        await tell(starts, 1)
        (unmapped,) = await starts.fired("orders-in", 1)
        (unjudged,) = await starts.fired("whole", 1)
    assert (unmapped.outcome, unmapped.saga_id, unmapped.code) == ("refused", "", "contract.invalid")
    assert "missing" in unmapped.reason
    assert unjudged.outcome == "refused"
    assert "divi" in unjudged.reason


async def test_a_paused_workflow_refuses_and_the_next_event_after_it_starts(starts: Starts) -> None:
    await starts.create(on_event())

    async def switch(status: WorkflowStatus) -> None:
        await starts.catalogue.change(
            "orders", None, status, ADA, lambda one: changes.with_status(one, status)
        )

    async with starts.runner("orders-in"):
        await switch(WorkflowStatus.PAUSED)
        await tell(starts, 1)
        (refused,) = await starts.fired("orders-in", 1)
        await switch(WorkflowStatus.ACTIVE)
        await tell(starts, 2)
        await starts.fired("orders-in", 2)
    assert (refused.outcome, refused.code) == ("refused", "conflict")
    assert [one["value"] for one in await starts.inputs("orders-in")] == [2]


async def test_a_subject_that_no_stream_keeps_is_refused_when_the_trigger_is_saved(starts: Starts) -> None:
    with pytest.raises(InvalidTrigger, match="no stream keeps") as caught:
        await starts.create(trigger("EVENT", subject="nobody.keeps.this"))
    assert caught.value.problems[0]["pointer"] == "/subject"


async def test_an_event_that_is_worked_on_again_after_a_crash_is_told_once(starts: Starts) -> None:
    wanted = on_event()
    await starts.create(wanted)
    event = Heard(id="e-1", type="shop.ordered", subject="o-1", time=datetime.now(UTC), data={"value": 1})
    first = await starts.firer.fire(wanted, event)
    again = await starts.firer.fire(wanted, event, again=True)
    assert first is not None
    assert again is not None
    assert (again.outcome, again.saga_id) == ("started", first.saga_id)
    assert len(await starts.fired("orders-in", 1)) == 1


async def test_an_event_goes_by_the_trigger_that_started_its_saga_though_it_has_changed_since(
    starts: Starts,
) -> None:
    event = Heard(id="e-1", type="shop.ordered", subject="o-1", time=datetime.now(UTC), data={"value": 1})
    first = await starts.firer.fire(on_event(), event)
    again = await starts.firer.fire(on_event(input={"value": 2}), event)
    assert first is not None
    assert again is not None
    assert (again.outcome, again.saga_id) == ("repeated", first.saga_id)
    assert await starts.inputs("orders-in") == [{"value": 1}]
