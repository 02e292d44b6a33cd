"""A saga's story is read whole, from the index of the stream, whatever it repeats."""

from datetime import UTC, datetime

from contracts.facts import FactKind, state_fact
from contracts.ids import new_saga_id
from events.bus import Bus
from events.read import read_saga

MORE_THAN_ONE_REQUEST = 600


async def state(bus: Bus, saga_id: str, step: str, kind: str, number: int) -> None:
    fact = state_fact(
        about=None, definition="chain@1", saga_id=saga_id, step=step, kind=kind, data={"number": number},
        source="/t", time=datetime(2026, 1, 1, tzinfo=UTC), fact_id=f"{saga_id}.{number}",
    )  # fmt: skip
    await bus.client.publish(bus.subjects.fact("chain", step, kind, saga_id), fact.encode())


async def test_a_story_that_repeats_itself_is_read_whole_and_in_order(bus: Bus) -> None:
    saga_id, other = new_saga_id(), new_saga_id()
    await state(bus, saga_id, "_saga", FactKind.STARTED, 0)
    for number in range(1, MORE_THAN_ONE_REQUEST):
        await state(bus, saga_id, "a" if number % 3 else "b", FactKind.ATTEMPT_FAILED, number)
        await state(bus, other, "a", FactKind.ATTEMPT_FAILED, number)
    await bus.jetstream.publish(bus.subjects.fact("chain", "a", FactKind.ATTEMPT_FAILED, saga_id), b"no fact")
    await state(bus, saga_id, "a", FactKind.COMPLETED, MORE_THAN_ONE_REQUEST)
    await bus.jetstream.publish(bus.subjects.fact("chain", "a", FactKind.COMPLETED, other), b"no fact")
    for found in (await read_saga(bus, saga_id), await read_saga(bus, saga_id, "chain")):
        assert [one.fact.data["number"] for one in found] == list(range(MORE_THAN_ONE_REQUEST + 1))
        assert [one.sequence for one in found] == sorted(one.sequence for one in found)
    assert await read_saga(bus, new_saga_id()) == []


async def test_reading_a_saga_leaves_no_consumer_behind(bus: Bus) -> None:
    saga_id = new_saga_id()
    await state(bus, saga_id, "_saga", FactKind.STARTED, 0)
    await state(bus, saga_id, "a", FactKind.ATTEMPT_FAILED, 1)
    await state(bus, saga_id, "a", FactKind.ATTEMPT_FAILED, 2)
    await bus.client.flush()
    await read_saga(bus, saga_id)
    assert await bus.jetstream.consumers_info(bus.names.facts(0)) == []
