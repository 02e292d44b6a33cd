"""The definitions everybody shares are all there when they have been opened."""

import asyncio
from typing import Any

import pytest
from nats.js.kv import KeyValue

from contracts.definition import SagaDefinition, Step
from contracts.failure import Conflict
from events.bus import Bus
from events.definitions import Definitions
from saga.topology import consumers_for

MANY = [SagaDefinition(name=f"d{number}", steps=(Step(name="a", action="t.a"),)) for number in range(5)]


@pytest.fixture
def hasty_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's race, lost every time: the watcher says that this was all before anything has come."""
    watch_all = KeyValue.watchall

    async def says_so_first(self: KeyValue, **options: Any) -> Any:
        watcher = await watch_all(self, **options)
        hasty: asyncio.Queue[Any] = asyncio.Queue()
        hasty.put_nowait(None)
        while not watcher._updates.empty():
            hasty.put_nowait(watcher._updates.get_nowait())
        watcher._updates = hasty
        return watcher

    monkeypatch.setattr(KeyValue, "watchall", says_so_first)


async def test_whoever_opens_the_definitions_knows_all_that_were_published(
    bus: Bus, definitions: Definitions, hasty_watcher: None
) -> None:
    for definition in MANY:
        await definitions.publish(definition, consumers_for)
    async with Definitions.open(bus) as opened:
        assert {definition.ref for definition in opened.all()} == {definition.ref for definition in MANY}


async def test_another_process_knows_what_a_step_leaves_to_its_policy(
    bus: Bus, definitions: Definitions
) -> None:
    steps = (Step(name="a", action="t.a", timeout_s=30), Step(name="b", action="t.b"))
    await definitions.publish(SagaDefinition(name="said", steps=steps), consumers_for)
    async with Definitions.open(bus) as opened:
        for known in (definitions.get("said@1"), opened.get("said@1")):
            assert known is not None
            assert ["timeout_s" in step.unsaid for step in known.steps] == [False, True]


async def test_definitions_published_together_are_all_known_in_their_order(
    bus: Bus, definitions: Definitions
) -> None:
    changes = await definitions.publish_all(MANY, consumers_for)
    known = [definition.ref for definition in MANY]
    made = [f"definition {ref}" for ref in known]
    assert [change.what for change in changes if change.what.startswith("definition")] == made
    async with Definitions.open(bus) as opened:
        assert [definition.ref for definition in opened.all()] == known
        assert await opened.publish_all(MANY, consumers_for) == []


async def test_of_definitions_published_together_none_is_known_if_one_has_another_content(
    bus: Bus, definitions: Definitions
) -> None:
    await definitions.publish(MANY[-1], consumers_for)
    other = SagaDefinition(name=MANY[-1].name, steps=(Step(name="b", action="t.b"),))
    with pytest.raises(Conflict, match=r"d4@1 exists with another content"):
        await definitions.publish_all([*MANY[:-1], other], consumers_for)
    async with Definitions.open(bus) as opened:
        assert [definition.ref for definition in opened.all()] == [MANY[-1].ref]
