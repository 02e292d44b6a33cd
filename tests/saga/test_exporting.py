"""Sagas leave a stream as lines without secrets, and are the same sagas where they are imported."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.definition import SagaDefinition, Step
from contracts.failure import Conflict, InvalidContract, NotFound
from events.bus import Bus
from events.definitions import Definitions
from events.read import read_saga
from events.settings import BusSettings
from events.streams import declare
from saga.action import ActionContext
from saga.exporting import Chosen, export, import_recording
from saga.hooks.redaction import Redactor
from saga.recording import FORMAT, Recording, contracts_hash, read_recording
from saga.state import SagaState, fold
from saga.topology import consumers_for
from tests.saga.small import CHAIN, actions, refuse
from tests.world import Number, Running, World

NAPS = SagaDefinition(
    name="naps",
    steps=(
        Step(name="a", action="test.a", input={"value": "${input.value}"}),
        Step(name="b", action="test.b", after=("a",), input={"value": "${steps.a.value}"}),
    ),
)


@pytest.fixture
async def elsewhere(bus_settings: BusSettings) -> AsyncIterator[tuple[Bus, Definitions]]:
    """Another environment: the same server, another namespace."""
    settings = bus_settings.model_copy(update={"namespace": f"{bus_settings.namespace}-else"})
    async with await Bus.connect(settings) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            yield bus, definitions


async def nap(ctx: ActionContext, command: Number) -> Number:
    await ctx.sleep(0.2)
    return command


async def played(running: Running, world: World) -> tuple[str, str]:
    """One saga that was undone, then one that has slept and was woken."""
    await running.publish(CHAIN)
    await running.publish(NAPS)
    async with running.serving(*actions(world, "a", "b", "c")):
        world.behaviours["c"] = refuse
        undone = await running.start(CHAIN, value=1, api_key="k-123")
        await running.ended(CHAIN, undone)
        world.behaviours["b"] = nap
        slept = await running.start(NAPS, value=1)
        await running.ended(NAPS, slept)
    return undone, slept


async def lines(running: Running, chosen: Chosen, redact: Redactor | None = None) -> list[str]:
    return [line async for line in export(running.bus, running.definitions, chosen, redact)]


def told(state: SagaState) -> Any:
    """A state without its places in the stream."""
    steps = {name: replace(step, sequence=0) for name, step in state.steps.items()}
    return replace(state, sequence=0, ended_sequence=None, steps=steps)


async def test_an_exported_saga_is_the_same_where_it_is_imported(
    running: Running, world: World, elsewhere: tuple[Bus, Definitions]
) -> None:
    ids = await played(running, world)
    recording = read_recording(await lines(running, Chosen()))
    assert recording.sagas.keys() == set(ids)
    bus, definitions = elsewhere
    done = await import_recording(bus, definitions, recording)
    assert (done.sagas, done.there_already) == (2, 0)
    for saga_id, definition in zip(ids, (CHAIN, NAPS), strict=True):
        there = await read_saga(bus, saga_id)
        assert told(fold(definition, there)) == told(await running.state(definition, saga_id))
        sequences = {one.fact.key: one.sequence for one in there}
        assert all(
            one.fact.data["rest"] == sequences["b", "suspended"] for one in there if one.fact.kind == "woken"
        )
    assert ("b", "woken") in {one.fact.key for one in there}
    again = await import_recording(bus, definitions, recording)
    assert (again.sagas, again.facts, again.there_already) == (0, 0, 2)


async def test_an_import_that_died_goes_on(
    running: Running, world: World, elsewhere: tuple[Bus, Definitions]
) -> None:
    undone, _ = await played(running, world)
    recording = read_recording(await lines(running, Chosen(saga_ids=(undone,))))
    facts = recording.sagas[undone]
    bus, definitions = elsewhere
    begun = Recording(definitions=recording.definitions, sagas={undone: facts[:3]})
    assert (await import_recording(bus, definitions, begun)).facts == 3
    assert (await import_recording(bus, definitions, recording)).facts == len(facts) - 3
    assert fold(CHAIN, await read_saga(bus, undone)).status == "compensated"
    shorter = Recording(definitions=recording.definitions, sagas={undone: facts[:3]})
    with pytest.raises(Conflict, match="says what is not recorded"):
        await import_recording(bus, definitions, shorter)


async def test_secrets_do_not_leave(running: Running, world: World) -> None:
    undone, _ = await played(running, world)
    out = await lines(running, Chosen(saga_ids=(undone,)), Redactor())
    assert "k-123" not in "".join(out)
    header = json.loads(out[0])["recording"]
    assert (header["format"], header["contracts"], header["redacted"]) == (
        FORMAT,
        contracts_hash(),
        True,
    )
    recording = read_recording(out)
    assert recording.facts(undone)[0].fact.data["input"]["api_key"] == "[redacted]"
    assert fold(CHAIN, recording.facts(undone)).status == "compensated"


async def test_sagas_are_chosen_by_definition_and_time(running: Running, world: World) -> None:
    undone, slept = await played(running, world)
    assert read_recording(await lines(running, Chosen(definition="naps"))).sagas.keys() == {slept}
    begun = (await running.facts(slept))[0].fact.time
    assert read_recording(await lines(running, Chosen(before=begun))).sagas.keys() == {undone}
    assert read_recording(await lines(running, Chosen(since=begun))).sagas.keys() == {slept}
    later = datetime.now(UTC) + timedelta(days=1)
    assert read_recording(await lines(running, Chosen(since=later))).sagas == {}
    with pytest.raises(NotFound, match="no saga other in the stream"):
        await lines(running, Chosen(saga_ids=("other",)))


async def test_nothing_is_imported_where_somebody_would_go_on_with_it(
    running: Running, world: World, elsewhere: tuple[Bus, Definitions]
) -> None:
    undone, _ = await played(running, world)
    recording = read_recording(await lines(running, Chosen(saga_ids=(undone,))))
    bus, definitions = elsewhere
    there = Running(bus, definitions, running.data / "else")
    await definitions.publish(CHAIN, consumers_for)
    async with there.serving(*actions(world, "a")):
        with pytest.raises(Conflict, match=r"somebody serves test\.a here"):
            await import_recording(bus, definitions, recording)
        assert await read_saga(bus, undone) == []
        assert (await import_recording(bus, definitions, recording, live=True)).sagas == 1


async def test_nothing_is_imported_unless_everything_is_valid(
    running: Running, world: World, elsewhere: tuple[Bus, Definitions]
) -> None:
    undone, slept = await played(running, world)
    recording = read_recording(await lines(running, Chosen()))
    bus, definitions = elsewhere
    del recording.definitions[NAPS.ref]
    with pytest.raises(InvalidContract, match="does not bring naps@1"):
        await import_recording(bus, definitions, recording)
    recording = read_recording(await lines(running, Chosen()))
    recording.sagas[slept][-1].fact.data.clear()
    with pytest.raises(InvalidContract, match=f"saga {slept}, sequence"):
        await import_recording(bus, definitions, recording)
    assert await read_saga(bus, undone) == []
    with pytest.raises(InvalidContract, match="a recording of format 2"):
        read_recording(['{"recording": {"format": 2}}'])
