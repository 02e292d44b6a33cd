"""Recorded sagas are played into a namespace of its own, and the services that are there answer as they would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import pytest

from contracts.definition import SagaDefinition
from contracts.directives import directives_of
from contracts.facts import ABORTED_KEY
from contracts.failure import Conflict, InvalidContract
from events.breakers import BreakerBucket
from events.bus import Bus
from events.definitions import Definitions
from events.settings import BusSettings
from events.streams import declare
from saga.action import Action, ActionContext, action
from saga.client import StartOptions
from saga.exporting import Chosen, stories
from saga.recording import Recording
from saga.republish.pace import Pace
from saga.republish.playing import Report, Wish, republish
from saga.republish.space import require_other, target_of
from saga.state import SagaState, fold
from tests.saga.small import CHAIN, DIAMOND, actions, refuse, step
from tests.world import Number, Running, World

DO = Wish(effects=True, patience_s=20.0)
SOON = replace(DO, patience_s=1.0)
NAPS = SagaDefinition(name="naps", steps=(step("a"), step("b", "a", source="${steps.a.value}")))
WAITS = SagaDefinition(name="waits", steps=(step("a"), step("b", "a"), step("c", "b")))
PIVOT = SagaDefinition(name="pivot", steps=(step("a"), step("b", "a"), step("c", "b", pivot=True)))
SHORT = SagaDefinition(name="short", steps=(step("a"), step("b", "a")), deadline_s=60.0)
DEFINITIONS = (CHAIN, DIAMOND, NAPS, WAITS, PIVOT, SHORT)


@dataclass
class Local:
    """A developer's namespace, and what the services there do."""

    running: Running
    world: World

    async def play(self, recording: Recording, wish: Wish = DO, **more: Any) -> Report:
        return await republish(self.running.bus, recording, wish, **more)

    @asynccontextmanager
    async def serving(self, *actions: Action) -> AsyncIterator[None]:
        """Services that know the definitions, so that they hear of a saga at once."""
        for definition in DEFINITIONS:
            await self.running.publish(definition)
        async with self.running.serving(*actions):
            yield


@pytest.fixture
async def local(bus_settings: BusSettings, data: Path) -> AsyncIterator[Local]:
    settings = bus_settings.model_copy(update={"namespace": f"{bus_settings.namespace}-dev"})
    async with await Bus.connect(settings) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            yield Local(Running(bus, definitions, data / "dev"), World())


@pytest.fixture
async def ran(running: Running, world: World) -> AsyncIterator[Running]:
    """A system in which everything is served."""
    for definition in DEFINITIONS:
        await running.publish(definition)
    async with running.serving(*actions(world, "a", "b", "c", "d")):
        yield running


async def recorded(running: Running, *saga_ids: str) -> Recording:
    sagas = {one: facts async for one, facts in stories(running.bus, Chosen(saga_ids=saga_ids))}
    return Recording(definitions={one.ref: one for one in DEFINITIONS}, sagas=sagas)


async def chain(running: Running, **input: Any) -> str:
    saga_id = await running.start(CHAIN, value=1, **input)
    await running.ended(CHAIN, saga_id)
    return saga_id


def told(state: SagaState) -> Any:
    """A state without its places in the stream."""
    steps = {name: replace(one, sequence=0) for name, one in state.steps.items()}
    return replace(state, sequence=0, ended_sequence=None, steps=steps)


async def test_where_nobody_serves_a_saga_is_the_same_as_it_was(
    ran: Running, world: World, local: Local
) -> None:
    good = await chain(ran)
    world.behaviours["c"] = refuse
    undone = await chain(ran)

    async def nap(ctx: ActionContext, command: Number) -> Number:
        await ctx.sleep(0.2)
        return command

    world.behaviours["b"] = nap
    slept = await ran.start(NAPS, value=1)
    await ran.ended(NAPS, slept)
    report = await local.play(await recorded(ran, good, undone, slept))
    assert report.served == ()
    assert [one.status for one in report.sagas] == ["same"] * 3
    for saga_id, definition in ((good, CHAIN), (undone, CHAIN), (slept, NAPS)):
        there = await local.running.facts(saga_id)
        assert told(fold(definition, there)) == told(await ran.state(definition, saga_id))
    sequences = {one.fact.key: one.sequence for one in there}
    (woken,) = (one for one in there if one.fact.kind == "woken")
    assert woken.fact.data["rest"] == sequences["b", "suspended"]


async def test_a_service_answers_to_what_is_played_and_nothing_is_done_for_the_others(
    ran: Running, local: Local
) -> None:
    saga_id = await chain(ran)
    async with local.serving(*actions(local.world, "b")):
        report = await local.play(await recorded(ran, saga_id))
    (one,) = report.sagas
    assert (report.served, one.status, one.differences) == (("test.b",), "same", [])
    assert (one.left, local.world.done) == ({"test.b": 2}, ["do b"])
    there = {found.fact.key: found for found in await local.running.facts(saga_id)}
    assert there["b", "completed"].sequence < there["c", "started"].sequence
    assert fold(CHAIN, sorted(there.values(), key=lambda found: found.sequence)).status == "completed"


async def test_a_service_that_starts_before_it_has_a_definition_hears_what_is_played(
    ran: Running, local: Local
) -> None:
    saga_id = await chain(ran)
    async with local.running.serving(*actions(local.world, "a", "b", "c")):
        report = await local.play(await recorded(ran, saga_id))
    assert (report.sagas[0].played, report.sagas[0].status) == (1, "same")
    assert local.world.done == ["do a", "do b", "do c"]


async def test_another_output_is_a_difference_with_its_place(ran: Running, local: Local) -> None:
    saga_id = await chain(ran)

    async def otherwise(ctx: ActionContext, command: Number) -> Number:
        return Number(value=70)

    local.world.behaviours["b"] = otherwise
    async with local.serving(*actions(local.world, "b")):
        report = await local.play(await recorded(ran, saga_id))
    (one,) = report.sagas
    assert one.status == "diverged"
    assert [(found.step, found.what, found.was, found.now) for found in one.differences] == [
        ("b", "completed/output/value", "3", "70")
    ]
    assert one.withheld == []


async def test_what_depends_on_an_answer_that_is_another_one_is_not_played(
    ran: Running, local: Local
) -> None:
    saga_id = await chain(ran)
    local.world.behaviours["b"] = refuse
    async with local.serving(*actions(local.world, "b")):
        report = await local.play(await recorded(ran, saga_id))
    (one,) = report.sagas
    assert [(found.step, found.what, found.was, found.now) for found in one.differences] == [
        ("b", "answer", "completed", "failed (test.no)")
    ]
    assert [text.partition(" ")[2] for text in one.withheld] == ["c.started", "c.completed"]
    assert (await local.running.state(CHAIN, saga_id)).steps["c"].status == "pending"


async def test_a_service_that_says_nothing_is_waited_for_no_longer_than_one_has_patience(
    ran: Running, local: Local
) -> None:
    saga_id = await chain(ran)

    async def never(ctx: ActionContext, command: Number) -> Number:
        await asyncio.Event().wait()
        return command

    local.world.behaviours["b"] = never
    async with local.serving(*actions(local.world, "b", "c")):
        report = await local.play(await recorded(ran, saga_id), SOON)
    (one,) = report.sagas
    assert [(found.step, found.was, found.now) for found in one.differences] == [
        ("b", "completed", "nothing within 1 s")
    ]


async def test_what_was_aborted_there_stays_aborted(ran: Running, local: Local) -> None:
    saga_id = await ran.start(DIAMOND, value=1)
    await ran.ended(DIAMOND, saga_id)
    recording = await recorded(ran, saga_id)
    begun = [one for one in recording.sagas[saga_id] if one.fact.subject in ("_saga", "a")][:3]
    await local.play(Recording(definitions=recording.definitions, sagas={saga_id: begun}))
    await local.running.client.cancel(saga_id, reason="enough", by="ann")
    (one,) = (await local.play(recording)).sagas
    assert (one.status, one.played) == ("diverged", 0)
    refused = {text.partition(" ")[2] for text in one.refused}
    assert refused == {"b.started", "c.started"}
    assert (await local.running.state(DIAMOND, saga_id)).steps["b"].status == "pending"


async def test_what_people_did_comes_where_it_came(ran: Running, world: World, local: Local) -> None:
    async def wait(ctx: ActionContext, command: Number) -> Number:
        return Number(**await ctx.signal() or {})

    world.behaviours["b"] = local.world.behaviours["b"] = wait
    signalled, cancelled = [await ran.start(WAITS, value=1) for _ in range(2)]
    for saga_id in (signalled, cancelled):
        await ran.stated(saga_id, ("b", "suspended"))
    await ran.client.signal(signalled, "b", {"value": 7}, by="ann")
    await ran.client.cancel(cancelled, reason="enough", by="ann")
    for saga_id in (signalled, cancelled):
        await ran.ended(WAITS, saga_id)
    async with local.serving(*actions(local.world, "a", "b")):
        report = await local.play(await recorded(ran, signalled, cancelled))
    assert [(one.status, one.differences) for one in report.sagas] == [("same", [])] * 2
    assert (await local.running.state(WAITS, signalled)).status == "completed"
    assert (await local.running.state(WAITS, cancelled)).status == "compensated"
    assert local.world.times("undo b") == 1


async def test_sagas_run_dry_unless_effects_are_wanted(ran: Running, local: Local) -> None:
    saga_id = await chain(ran)
    b = local.world.action("b")

    @b.rehearsal
    async def rehearse(ctx: ActionContext, command: Number) -> Number:
        local.world.done.append("rehearse b")
        return Number(value=command.value + 1)

    async with local.serving(b):
        (one,) = (await local.play(await recorded(ran, saga_id), Wish())).sagas
    assert (one.status, local.world.done) == ("same", ["rehearse b"])
    assert all(directives_of(found.fact.directives).dry_run for found in await local.running.facts(saga_id))


def calling(world: World) -> Action:
    @action("test.b", reads_only=True)
    async def call(ctx: ActionContext, command: Number) -> Number:
        async with ctx.breaker("op.x"):
            world.done.append("call")
        return Number(value=command.value + 1)

    @call.compensation
    async def undo(ctx: ActionContext, command: Number, output: Number | None) -> None:
        world.done.append("undo")

    return call


async def test_breakers_are_shut_for_services_that_were_there_before_and_that_come_after(
    ran: Running, local: Local
) -> None:
    first, second = await chain(ran), await chain(ran)
    wish = Wish(patience_s=0.2)
    async with local.serving(calling(local.world)):
        assert (await local.play(await recorded(ran, first), wish)).sagas[0].status == "diverged"
    async with local.serving(calling(local.world)):
        assert (await local.play(await recorded(ran, second), wish)).sagas[0].status == "diverged"
    assert local.world.done == []


async def test_a_breaker_that_is_let_out_lets_calls_through_until_the_next_replay(
    ran: Running, local: Local
) -> None:
    first, second = await chain(ran), await chain(ran)
    wish = Wish(let_out=("op.x",))
    async with local.serving(calling(local.world)):
        assert (await local.play(await recorded(ran, first), wish)).sagas[0].status == "same"
        assert local.world.done == ["call"]
        assert (await local.play(await recorded(ran, second), Wish(patience_s=0.2))).sagas[0].differences
    assert local.world.done == ["call"]


async def test_a_namespace_with_facts_of_its_own_is_refused(ran: Running, local: Local) -> None:
    saga_id = await chain(ran)
    await local.running.publish(CHAIN)
    await local.running.start(CHAIN, value=1)
    with pytest.raises(Conflict, match="has facts of its own"):
        await local.play(await recorded(ran, saga_id))
    assert await BreakerBucket(local.running.bus).read_isolation() is None
    assert await local.running.facts(saga_id) == []


async def test_facts_are_not_played_into_where_they_come_from(bus: Bus, bus_settings: BusSettings) -> None:
    with pytest.raises(InvalidContract, match="--into needs the name"):
        target_of(bus_settings, "", None)
    by_another_name = bus_settings.url.replace("127.0.0.1", "localhost")
    for url in (None, by_another_name):
        async with await Bus.connect(target_of(bus_settings, bus_settings.namespace, url)) as same:
            with pytest.raises(Conflict, match="is the one that is read"):
                await require_other(bus, same)
    async with await Bus.connect(target_of(bus_settings, f"{bus_settings.namespace}-dev", None)) as other:
        await require_other(bus, other)


async def test_a_repeat_states_only_what_is_missing(ran: Running, local: Local) -> None:
    saga_id = await chain(ran)
    recording = await recorded(ran, saga_id)
    facts = recording.sagas[saga_id]
    begun = Recording(definitions=recording.definitions, sagas={saga_id: facts[:3]})
    assert (await local.play(begun)).sagas[0].played == 3
    assert (await local.play(recording)).sagas[0].played == len(facts) - 3
    (one,) = (await local.play(recording)).sagas
    assert (one.status, one.played) == ("there", 0)
    assert len(await local.running.facts(saga_id)) == len(facts)


async def test_a_saga_that_is_there_is_played_again_under_a_new_id(ran: Running, local: Local) -> None:
    saga_id = await chain(ran)
    other = await ran.client.start(
        CHAIN.ref, {"value": 1, "of": f"saga {saga_id}"}, StartOptions(correlation_id=saga_id)
    )
    await ran.ended(CHAIN, other.saga_id)
    recording = await recorded(ran, saga_id, other.saga_id)
    await local.play(recording)
    report = await local.play(recording, replace(DO, again=True))
    new, of = (one.played_as for one in report.sagas)
    assert (report.sagas[0].saga_id, report.sagas[0].status) == (saga_id, "same")
    assert len({new, of, saga_id, other.saga_id}) == 4
    facts = [one.fact for one in await local.running.facts(of)]
    assert (facts[0].data["input"]["of"], facts[0].correlationid) == (f"saga {new}", new)
    assert all(fact.id.startswith(f"{of}.") and fact.sagaid == of for fact in facts)
    assert told(await local.running.state(CHAIN, new)) == told(await ran.state(CHAIN, saga_id))


class VirtualTime:
    """Passes when all who play sleep: to the moment of the one who wakes first."""

    def __init__(self, players: int) -> None:
        self.now = 0.0
        self._players = players
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.now + seconds, id(woken), woken))
        self._pass()
        await woken

    def one_less(self, done: int, total: int) -> None:
        self._players -= 1
        self._pass()

    def _pass(self) -> None:
        if self._sleepers and len(self._sleepers) == self._players:
            self.now, _, woken = heappop(self._sleepers)
            woken.set_result(None)


async def test_a_service_that_has_much_to_do_is_not_silent(ran: Running, local: Local) -> None:
    """Each saga waits for its turn longer than one has patience, and somebody is heard all the time."""
    saga_ids = [await chain(ran) for _ in range(6)]
    turn = asyncio.Lock()

    async def slow(ctx: ActionContext, command: Number) -> Number:
        async with turn:
            await asyncio.sleep(0.6)
        return Number(value=command.value + 1)

    local.world.behaviours["b"] = slow
    async with local.serving(*actions(local.world, "b")):
        report = await local.play(await recorded(ran, *saga_ids), replace(DO, patience_s=2.0))
    assert [one.differences for one in report.sagas] == [[]] * 6


async def test_a_saga_whose_parent_undid_it_is_the_same_as_it_was(ran: Running, local: Local) -> None:
    saga_id = await chain(ran)
    await ran.client.undo_child(saga_id, reason="not needed", by="parent")
    await ran.until(CHAIN, saga_id, lambda state: state.status == "compensated")
    (one,) = (await local.play(await recorded(ran, saga_id))).sagas
    assert (one.status, one.refused) == ("same", [])
    assert told(await local.running.state(CHAIN, saga_id)) == told(await ran.state(CHAIN, saga_id))


async def test_a_saga_with_a_pivot_turns_round_as_it_did(ran: Running, world: World, local: Local) -> None:
    world.behaviours["b"] = refuse
    refused = await ran.start(PIVOT, value=1)
    await ran.ended(PIVOT, refused)
    (one,) = (await local.play(await recorded(ran, refused))).sagas
    assert (one.status, one.refused) == ("same", [])
    assert (await local.running.state(PIVOT, refused)).status == "compensated"


@pytest.mark.parametrize("definition", [CHAIN, PIVOT], ids=["plain", "with a pivot"])
async def test_an_abort_by_a_service_is_not_taken_for_that_of_a_person(
    running: Running, local: Local, definition: SagaDefinition
) -> None:
    await running.publish(definition)
    saga_id = await running.start(definition, value=1)
    await running.client.cancel(saga_id, reason="enough", by="ann")
    recording = await recorded(running, saga_id)
    start = Recording(definitions=recording.definitions, sagas={saga_id: recording.sagas[saga_id][:1]})
    local.world.behaviours["a"] = refuse
    async with local.serving(*actions(local.world, "a")):
        await local.play(start)
        await local.running.stated(saga_id, ABORTED_KEY)
        (one,) = (await local.play(recording)).sagas
    assert [text.partition(" ")[2] for text in one.refused] == ["_saga.aborted"]
    (aborted,) = [found.fact for found in await local.running.facts(saga_id) if found.fact.key == ABORTED_KEY]
    assert aborted.data["cause"] == "step"


async def test_a_deadline_counts_from_the_replay_where_a_service_takes_part(
    ran: Running, local: Local
) -> None:
    saga_id = await ran.start(SHORT, value=1)
    await ran.ended(SHORT, saga_id)
    recording = await recorded(ran, saga_id)
    for one in recording.sagas[saga_id]:
        one.fact = one.fact.model_copy(update={"time": one.fact.time - timedelta(days=1)})
    async with local.serving(*actions(local.world, "a")):
        (played,) = (await local.play(recording)).sagas
    assert (played.status, played.differences) == ("same", [])
    facts = await local.running.facts(saga_id)
    assert fold(SHORT, facts).status == "completed"
    began, recorded_as = facts[0].fact.time, recording.sagas[saga_id][0].fact.time
    assert began - recorded_as > timedelta(hours=23)


async def test_facts_are_as_far_from_one_another_as_they_were_or_so_many_times_nearer(
    ran: Running, local: Local
) -> None:
    first, second = [await ran.start(CHAIN, value=1) for _ in range(2)]
    for saga_id in (first, second):
        await ran.ended(CHAIN, saga_id)
    recording = await recorded(ran, first, second)
    time = VirtualTime(players=2)

    def pace(factor: float | None, begun: datetime) -> Pace:
        return Pace(factor, begun, lambda: time.now, time.sleep)

    wish = replace(DO, factor=0.001)
    report = await local.play(recording, wish, make_pace=pace, tell=time.one_less)
    assert [one.status for one in report.sagas] == ["same", "same"]
    facts = sorted(
        (one.fact for facts in recording.sagas.values() for one in facts), key=lambda fact: fact.time
    )
    assert time.now == pytest.approx((facts[-1].time - facts[0].time).total_seconds() * 1000)
    there = [*await local.running.facts(first), *await local.running.facts(second)]
    there.sort(key=lambda one: one.sequence)
    assert [one.fact.id for one in there] == [fact.id for fact in facts]
