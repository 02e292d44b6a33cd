"""Breakers of several processes over one bus: one state, one set of probes, every transition stated once."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest

from contracts.breakers import BreakerConfig, BreakerEvent, BreakerRecord, Isolation
from contracts.failure import Conflict, NotFound
from events.breakers import BreakerBucket, follow_breaker_events
from events.bus import Bus
from events.clock import utc_now
from events.embedded import EmbeddedServer
from events.names import MSG_ID
from events.read import Bursts, StreamMessage, last_of
from events.servers import find_binary
from events.settings import BusSettings
from events.streams import declare
from saga.action import Unavailable
from saga.breaker import Breaker, BreakerOpen, Breakers, BreakerShut, shared_breakers
from saga.breaker_ledger import Ledger
from saga.breaker_machine import Configure, Delete, Reset
from saga.execution import counts_against
from saga.log.breakers import BreakerLog
from saga.log.store import open_log
from tests.saga import breaker_process
from tests.saga.test_breaker import Time, fail

CONFIG = BreakerConfig(failure_threshold=4, reset_timeout_s=10.0, probe_lease_s=60.0)


@pytest.fixture
def time() -> Time:
    return Time()


type Process = tuple[Ledger, Breaker]
type NewProcess = Callable[..., Awaitable[Process]]


@pytest.fixture
async def process(bus: Bus, time: Time) -> AsyncIterator[NewProcess]:
    """Opens what one more process has of the breaker `op.x`, with a connection of its own."""
    async with AsyncExitStack() as stack:

        async def new(config: BreakerConfig = CONFIG) -> Process:
            own = await stack.enter_async_context(await Bus.connect(bus.settings))
            ledger = await stack.enter_async_context(Ledger(config, time, BreakerBucket(own)))
            return ledger, Breakers(fails=counts_against, ledger=ledger).get("op.x")

        yield new


async def until(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.005)


async def on_the_server(bus: Bus, holds: Callable[[BreakerRecord], bool]) -> BreakerRecord:
    """The breaker as soon as what is written of it fulfils a condition."""
    async with asyncio.timeout(10), aclosing(BreakerBucket(bus).watch()) as batches:
        async for found in batches:
            for kept in found:
                if kept.record.name == "op.x" and holds(kept.record):
                    return kept.record
    raise AssertionError("unreachable")


async def events(bus: Bus, kind: str, count: int = 1) -> list[BreakerEvent]:
    """What has been stated, as soon as there are so many of a kind."""
    told: list[BreakerEvent] = []
    async with asyncio.timeout(10), aclosing(follow_breaker_events(bus, 0)) as batches:
        async for messages in batches:
            told += [BreakerEvent.decode(message.payload) for message in messages]
            if Counter(event.kind for event in told)[kind] >= count:  # type: ignore[index]
                return told
    raise AssertionError("unreachable")


async def open_it(*breakers: Breaker) -> None:
    for number in range(CONFIG.failure_threshold):
        await fail(breakers[number % len(breakers)])
    await until(lambda: all(breaker.state == "open" for breaker in breakers))


async def test_failures_of_several_processes_open_it_together_for_all(bus: Bus, process: NewProcess) -> None:
    one, other, third = [(await process())[1] for _ in range(3)]
    await open_it(one, other)
    await until(lambda: third.state == "open")
    with pytest.raises(BreakerOpen):
        async with third:
            raise AssertionError("nobody is let in")
    (event,) = await events(bus, "open")
    assert (event.name, event.revision, event.previous, event.failures) == ("op.x", 1, "closed", 4)


async def test_a_race_to_open_it_is_won_once(bus: Bus, process: NewProcess) -> None:
    breakers = [(await process())[1] for _ in range(4)]
    await asyncio.gather(*(fail(breaker) for breaker in breakers for _ in range(4)))
    record = await on_the_server(bus, lambda record: record.state == "open")
    await until(lambda: all(breaker.record.generation == 1 for breaker in breakers))
    assert (record.generation, record.revision) == (1, 1)


async def test_no_failure_is_lost_when_many_are_written_at_once(bus: Bus, process: NewProcess) -> None:
    patient = BreakerConfig(failure_threshold=100)
    breakers = [(await process(patient))[1] for _ in range(4)]
    await asyncio.gather(*(fail(breaker) for breaker in breakers for _ in range(5)))
    assert (await on_the_server(bus, lambda record: record.failures >= 20)).failures == 20


async def test_a_call_that_works_costs_no_word_on_the_bus(bus: Bus, process: NewProcess) -> None:
    _, breaker = await process()
    async with breaker:
        assert breaker.state == "closed"
    await on_the_server(bus, lambda record: not record.deleted)
    before = (await bus.jetstream.stream_info(f"KV_{bus.names.breakers}")).state.last_seq
    own = breaker._ledger._bucket._bus  # type: ignore[union-attr]
    sent = own.client.stats["out_msgs"]
    for _ in range(500):
        async with breaker:
            assert breaker.state == "closed"
    assert own.client.stats["out_msgs"] == sent
    assert (await bus.jetstream.stream_info(f"KV_{bus.names.breakers}")).state.last_seq == before


async def test_only_one_probe_is_let_in_over_all_processes(bus: Bus, process: NewProcess, time: Time) -> None:
    breakers = [(await process())[1] for _ in range(4)]
    await open_it(*breakers)
    time.pass_s(11)
    go_on = asyncio.Event()

    async def call(breaker: Breaker) -> str:
        try:
            async with breaker:
                await go_on.wait()
        except BreakerOpen:
            return "deferred"
        return "called"

    calls = [asyncio.create_task(call(breaker)) for breaker in breakers for _ in range(5)]
    await until(lambda: sum(one.done() for one in calls) == len(calls) - 1)
    go_on.set()
    assert Counter(await asyncio.gather(*calls)) == {"called": 1, "deferred": 19}
    await until(lambda: all(breaker.state == "closed" for breaker in breakers))
    told = await events(bus, "closed")
    assert [event.kind for event in told] == ["open", "half_open", "closed"]
    assert [event.revision for event in told] == [1, 2, 3]


async def test_a_prober_that_crashed_does_not_block_for_ever(process: NewProcess, time: Time) -> None:
    (_, dying), (_, living) = await process(), await process()
    await open_it(dying, living)
    time.pass_s(11)
    await asyncio.create_task(dying.__aenter__())
    await until(lambda: living.state == "half_open")
    with pytest.raises(BreakerOpen):
        await living.__aenter__()
    time.pass_s(CONFIG.probe_lease_s)
    async with living:
        assert len(living.record.probes) == 1
    assert living.state == "closed"


async def test_new_settings_reach_every_process_at_once(process: NewProcess) -> None:
    (ledger, one), (_, other) = await process(), await process()
    async with one, other:
        await until(lambda: bool(other.record.write))
    wanted = BreakerConfig(failure_threshold=1)
    word = Configure(at=utc_now(), by="ada", reason="it is fragile", config=wanted)
    await ledger.rule("op.x", word)
    await until(lambda: other.config == wanted)
    await fail(other)
    await until(lambda: one.state == "open")


async def test_a_person_closes_it_for_all_and_is_kept(bus: Bus, process: NewProcess) -> None:
    (ledger, one), (_, other) = await process(), await process()
    await open_it(one, other)
    await ledger.rule("op.x", Reset(at=utc_now(), by="ada", reason="the operator called"))
    await until(lambda: other.state == "closed")
    told = await events(bus, "closed")
    assert [(event.by, event.reason) for event in told] == [("", ""), ("ada", "the operator called")]


async def test_an_open_breaker_is_not_deleted_and_a_deleted_one_comes_back_when_used(
    process: NewProcess,
) -> None:
    ledger, breaker = await process()
    reset = Reset(at=utc_now(), by="ada", reason="r")
    delete = Delete(at=utc_now(), by="ada", reason="r")
    with pytest.raises(NotFound):
        await ledger.rule("op.x", delete)
    await open_it(breaker)
    await until(lambda: breaker.record.write != "" and not ledger._pending["op.x"])
    with pytest.raises(Conflict, match="reset it"):
        await ledger.rule("op.x", delete)
    await ledger.rule("op.x", reset)
    await ledger.rule("op.x", delete)
    assert ledger.records() == []
    async with breaker:
        assert [record.name for record in ledger.records()] == ["op.x"]


async def test_a_process_that_dies_before_it_stated_a_transition_is_spoken_for(
    bus: Bus, process: NewProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, breaker = await process()
    # It never gets that far.
    monkeypatch.setattr(ledger, "_state_soon", lambda *_: None)
    await open_it(breaker)
    await on_the_server(bus, lambda record: record.state == "open")
    await process()
    assert [event.kind for event in await events(bus, "open")] == ["open"]


async def test_many_who_state_the_same_events_state_each_once_and_in_order(
    bus: Bus, process: NewProcess, time: Time
) -> None:
    _, breaker = await process()
    await open_it(breaker)
    time.pass_s(11)
    async with breaker:
        assert breaker.state == "half_open"
    record = await on_the_server(bus, lambda record: record.state == "closed")
    await asyncio.gather(*(BreakerBucket(bus).state_events(record) for _ in range(8)))
    assert [event.revision for event in await events(bus, "closed")] == [1, 2, 3]
    assert (await bus.jetstream.stream_info(bus.names.breaker_events)).state.messages == 3


async def forget_message_ids(bus: Bus) -> None:
    """Let the window of the server's duplicate check pass."""
    config = (await bus.jetstream.stream_info(bus.names.breaker_events)).config
    config.duplicate_window = 0.1
    await bus.jetstream.update_stream(config)
    subject, known = bus.names.breaker_event("probe", "closed"), {MSG_ID: "probe"}
    await bus.publisher.send(subject, b"", known)
    async with asyncio.timeout(10):
        while (await bus.publisher.send(subject, b"", known)).duplicate:
            await asyncio.sleep(0.01)


async def test_who_reads_from_a_replica_that_is_behind_states_nothing_again(
    bus: Bus, process: NewProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, breaker = await process()
    await open_it(breaker)
    await events(bus, "open")
    await forget_message_ids(bus)
    before = (await bus.jetstream.stream_info(bus.names.breaker_events)).state.messages
    readings = []

    async def behind(*asked: Any) -> list[StreamMessage]:
        readings.append(asked)
        return await last_of(*asked) if len(readings) > 1 else []

    monkeypatch.setattr("events.breakers.last_of", behind)
    await BreakerBucket(bus).state_events(breaker.record)
    assert len(readings) == 2
    assert (await bus.jetstream.stream_info(bus.names.breaker_events)).state.messages == before


async def test_with_the_bus_away_it_goes_on_alone_and_tells_afterwards(tmp_path: Path, time: Time) -> None:
    async with EmbeddedServer(find_binary(os.environ), tmp_path / "nats", sync_interval="2m") as nats:
        settings = BusSettings(url=nats.url, publish_timeout_s=0.3)
        async with await Bus.connect(settings) as bus:
            await declare(bus)
            async with Ledger(CONFIG, time, BreakerBucket(bus)) as ledger:
                breaker = Breakers(fails=counts_against, ledger=ledger).get("op.x")
                async with breaker:
                    assert breaker.state == "closed"
                await on_the_server(bus, lambda record: bool(record.write))
                await nats.kill()
                await until(lambda: not bus.connected)
                async with asyncio.timeout(2):
                    await open_it(breaker)
                    with pytest.raises(BreakerOpen):
                        await breaker.__aenter__()
                    time.pass_s(11)
                    async with breaker:
                        assert breaker.state == "half_open"
                    assert breaker.state == "closed"
                await nats.start()
                await until(lambda: bus.connected)
                told = await events(bus, "closed")
    assert [(event.kind, event.revision) for event in told] == [("open", 1), ("half_open", 2), ("closed", 3)]


async def test_the_log_keeps_every_event_once(bus: Bus, process: NewProcess, database_url: str) -> None:
    _, breaker = await process()
    await open_it(breaker)
    (event,) = await events(bus, "open")
    message = StreamMessage(1, "s", event.model_dump_json().encode(), utc_now())
    async with open_log(database_url) as database:
        kept = BreakerLog(bus, database)
        assert [await kept.apply([message]), await kept.apply([message])] == [1, 0]
        again = StreamMessage(2, "s", message.payload, utc_now())
        poison = StreamMessage(3, "s", b"poison", utc_now())
        await kept.apply([again, poison])
        assert await kept.position() == 3
        assert [row["kind"] for row in await kept.recent("op.x", 9)] == ["open"]


async def test_an_unavailable_other_side_is_what_counts(process: NewProcess) -> None:
    _, breaker = await process()
    with pytest.raises(Unavailable):
        async with breaker:
            raise Unavailable("t.down", "down")
    assert breaker.failures == 1


async def run_process(bus: Bus, what: str) -> int:
    """The exit code of `breaker_process.py`."""
    script = Path(__file__).with_name("breaker_process.py")
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(script), bus.settings.url, bus.settings.namespace, what,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    async with asyncio.timeout(60):
        return await running.wait()


async def test_processes_open_it_together_and_one_that_is_killed_as_a_probe_holds_nobody_up(bus: Bus) -> None:
    assert await asyncio.gather(*(run_process(bus, "fail") for _ in range(3))) == [0, 0, 0]
    assert (await on_the_server(bus, lambda record: record.state == "open")).generation == 1
    assert await run_process(bus, "die") == -9
    killed = await on_the_server(bus, lambda record: record.state == "half_open")
    assert len(killed.probes) == 1
    async with shared_breakers(bus, breaker_process.CONFIG, fails=counts_against) as breakers:
        breaker = breakers.get("op.x")
        async with asyncio.timeout(20):
            await breaker_process.when_let_in(breaker)
        assert not set(breaker.record.probes) & set(killed.probes)
        await breaker.__aexit__(None, None, None)
        told = await events(bus, "closed")
    assert [event.kind for event in told] == ["open", "half_open", "closed"]


async def test_a_namespace_is_isolated_once_all_who_watch_its_breakers_have_been_told(bus: Bus) -> None:
    bucket, isolation = BreakerBucket(bus), Isolation(since=utc_now())
    stream = f"KV_{bus.names.breakers}"
    async with Bursts(bus, stream, 1, [f"$KV.{bus.names.breakers}.>"]) as slow:
        isolating = asyncio.create_task(bucket.isolate(isolation, patience_s=20))
        while await bucket.read_isolation() != isolation:
            pass
        for _ in range(20):
            await bucket.read_isolation()
        assert not isolating.done()
        assert len(await slow.take(1)) == 1
        await isolating


async def test_a_watcher_that_is_gone_is_not_waited_for(bus: Bus) -> None:
    stream = f"KV_{bus.names.breakers}"
    async with Bursts(bus, stream, 1, [f"$KV.{bus.names.breakers}.>"]):
        pass
    async with asyncio.timeout(15):
        await BreakerBucket(bus).isolate(Isolation(since=utc_now()), patience_s=0.05)


async def test_in_an_isolated_namespace_a_breaker_lets_nobody_through_but_who_is_let_out(
    bus: Bus, process: NewProcess
) -> None:
    ledger, breaker = await process()
    bucket, isolation = BreakerBucket(bus), Isolation(since=utc_now())
    await bucket.isolate(isolation)
    await until(lambda: ledger.shuts("op.x"))
    with pytest.raises(BreakerShut, match=r"--let-out op\.x"):
        async with breaker:
            raise AssertionError("nobody is let in")
    assert breaker.state == "closed"
    late, late_breaker = await process()
    assert late.shuts("op.x")
    await bucket.isolate(isolation.model_copy(update={"let_out": ("op.x",)}))
    await until(lambda: not (ledger.shuts("op.x") or late.shuts("op.x")))
    assert ledger.shuts("op.y")
    async with breaker, late_breaker:
        pass
    await bucket.isolate(isolation.model_copy(update={"let_out": ("*",)}))
    await until(lambda: not ledger.shuts("op.y"))
    # Who cannot read what is let out lets nobody out.
    await bus.publisher.send(f"$KV.{bus.names.breakers}._isolation", b"?", {})
    await until(lambda: ledger.shuts("op.y"))
