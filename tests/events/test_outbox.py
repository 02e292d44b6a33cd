"""The outbox's promise: what was committed is published once, in the order of commits, whoever dies when."""

import asyncio
import socket
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from contracts.failure import Conflict, InvalidContract
from events.bus import Bus
from events.clock import monotonic, utc_now
from events.database import Database, make_engine
from events.names import MSG_ID
from events.outbox import LANE, MESSAGES, Outbox
from events.outbox_relay import Relay, RelaySettings
from events.settings import BusSettings
from events.streams import declare
from tests.events.outboxes import (
    QUICK,
    CrashingBus,
    ForgetfulBus,
    add,
    counted,
    make_outbox,
    published,
    relay_until_crash,
)
from tests.faults.proxy import Dropper, serve


@pytest.fixture
async def outbox(database: Database, bus: Bus) -> Outbox:
    return await make_outbox(database, bus)


async def until_published(bus: Bus, wanted: list[int]) -> None:
    """Wait for the server to say that so much is there; then compare."""
    subject = f"{bus.subjects.events_root}.>"
    async with asyncio.timeout(20):
        subscription = await bus.jetstream.subscribe(subject, stream=bus.names.events, ordered_consumer=True)
        for _ in wanted:
            await subscription.next_msg(timeout=20)
        await subscription.unsubscribe()
    assert await published(bus) == wanted


async def forget_message_ids(bus: Bus) -> None:
    """Let the window of the server's duplicate check pass."""
    config = (await bus.jetstream.stream_info(bus.names.events)).config
    config.duplicate_window = 0.1
    await bus.jetstream.update_stream(config)
    subject, number = f"{bus.names.outbox_root}.probe", 0
    await bus.publisher.send(subject, b"", {MSG_ID: "probe"})
    async with asyncio.timeout(10):
        while (await bus.publisher.send(subject, b"", {MSG_ID: "probe"})).duplicate:
            number += 1
    assert number


async def test_what_is_committed_is_published_in_order(bus: Bus, outbox: Outbox, database: Database) -> None:
    for number in range(0, 250, 2):
        await add(outbox, database, number, number + 1)
    async with Relay(bus, outbox, QUICK):
        await until_published(bus, list(range(250)))


async def test_a_commit_wakes_the_relay(bus: Bus, outbox: Outbox, database: Database) -> None:
    async with Relay(bus, outbox, RelaySettings(poll_s=3600)):
        for number in range(3):
            await add(outbox, database, number)
            await until_published(bus, list(range(number + 1)))


async def test_a_relay_with_nothing_to_do_asks_no_more_often_than_it_polls(
    bus: Bus, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: asyncio.Queue[float] = asyncio.Queue()
    anything_unsent = outbox.anything_unsent

    async def noted() -> bool:
        asked.put_nowait(monotonic())
        return await anything_unsent()

    monkeypatch.setattr(outbox, "anything_unsent", noted)
    async with Relay(bus, outbox, RelaySettings(poll_s=0.1)):
        times = [await asyncio.wait_for(asked.get(), 20) for _ in range(4)]
    assert all(later - earlier >= 0.09 for earlier, later in pairwise(times))


async def test_what_is_rolled_back_is_never_published(bus: Bus, outbox: Outbox, database: Database) -> None:
    async with database.transaction() as session:
        await outbox.add_event(session, counted(1))
        await session.rollback()
    assert not outbox.added.is_set()
    await add(outbox, database, 2)
    await Relay(bus, outbox).drain()
    assert await published(bus) == [2]


async def test_an_id_is_published_once_and_stands_for_one_content(
    bus: Bus, outbox: Outbox, database: Database
) -> None:
    await add(outbox, database, 1)
    await add(outbox, database, 1)
    with pytest.raises(Conflict, match="e1 was added before"):
        async with database.transaction() as session:
            await outbox.add_event(session, counted(2).model_copy(update={"id": "e1"}))
    await Relay(bus, outbox).drain()
    assert await published(bus) == [1]


async def test_a_key_that_is_no_subject_token_is_refused_before_anything_is_written(outbox: Outbox) -> None:
    with pytest.raises(InvalidContract, match="key 'a b' is no subject token"):
        counted(1, key="a b")


@pytest.mark.parametrize("forgotten", [False, True], ids=["within the window", "long after it"])
async def test_a_relay_that_dies_after_publishing_leaves_nothing_to_publish_again(
    bus: Bus, outbox: Outbox, database: Database, forgotten: bool
) -> None:
    await add(outbox, database, 1, 2)
    assert await relay_until_crash(CrashingBus(bus, after={1}), outbox)
    assert await published(bus) == [1, 2]
    if forgotten:
        await forget_message_ids(bus)
    await add(outbox, database, 3)
    async with Relay(bus, outbox, QUICK):
        await until_published(bus, [1, 2, 3])
    assert not await outbox.anything_unsent()


async def test_a_lost_acknowledgement_is_found_out_from_the_stream(
    bus: Bus, outbox: Outbox, database: Database
) -> None:
    class Deaf(CrashingBus):
        async def batch(self, messages: object) -> object:
            try:
                return await super().batch(messages)
            except BaseException as error:
                raise TimeoutError("no acknowledgement") from error

    await add(outbox, database, 1)
    await forget_message_ids(bus)
    async with Relay(Deaf(bus, after={1}), outbox, QUICK):  # type: ignore[arg-type]
        await until_published(bus, [1])
        await add(outbox, database, 2)
        await until_published(bus, [1, 2])


async def test_acknowledgements_that_the_network_loses_cost_no_event_and_double_none(
    bus: Bus, outbox: Outbox, database: Database, tmp_path: Path
) -> None:
    dropper = Dropper(7, {"pubacks": 0.5}, tmp_path / "dropped.json")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = asyncio.create_task(serve(port, bus.settings.url.rpartition("/")[2], dropper))
    lossy = bus.settings.model_copy(update={"url": f"nats://127.0.0.1:{port}", "publish_timeout_s": 0.3})
    async with await Bus.connect(lossy) as behind, Relay(behind, outbox, QUICK):
        await forget_message_ids(bus)
        for number in range(12):
            await add(outbox, database, number)
            await until_published(bus, list(range(number + 1)))
    assert dropper.dropped["pubacks"]
    proxy.cancel()
    await asyncio.wait([proxy])


async def test_two_relays_at_once_publish_once(bus: Bus, database_url: str) -> None:
    databases = [Database(make_engine(database_url)) for _ in range(2)]
    outboxes = [await make_outbox(database, bus) for database in databases]
    forgetful: Any = ForgetfulBus(bus)
    async with Relay(forgetful, outboxes[0], QUICK), Relay(forgetful, outboxes[1], QUICK):
        for number in range(40):
            await add(outboxes[number % 2], databases[number % 2], number)
        await until_published(bus, list(range(40)))
    for database in databases:
        await database.close()


async def test_even_relays_that_take_no_turns_publish_once(
    bus: Bus, outbox: Outbox, database: Database
) -> None:
    await add(outbox, database, *range(50))
    forgetful: Any = ForgetfulBus(bus)
    settings = RelaySettings(lease_s=0)
    ends = await asyncio.gather(
        *(Relay(forgetful, outbox, settings).drain() for _ in range(4)), return_exceptions=True
    )
    assert any(end is None for end in ends), ends
    assert await published(bus) == list(range(50))


async def test_concurrent_transactions_are_published_in_the_order_of_their_commits(
    bus: Bus, database: Database, outbox: Outbox
) -> None:
    committed: list[int] = []

    async def write(number: int) -> None:
        async with database.transaction() as session:
            await outbox.add_event(session, counted(number))
            committed.append(number)

    async with Relay(bus, outbox, QUICK):
        await asyncio.gather(*(write(number) for number in range(30)))
        await until_published(bus, committed)


async def test_a_database_that_was_set_back_goes_on_under_a_new_name(
    bus: Bus, outbox: Outbox, database: Database
) -> None:
    await add(outbox, database, 1, 2, 3)
    await Relay(bus, outbox).drain()
    async with database.transaction() as session:
        connection = await session.connection()
        lane = (await connection.execute(select(LANE.c.lane))).scalar_one()
        await connection.execute(delete(MESSAGES).where(MESSAGES.c.id != "e1"))
        # The backup numbers anew what the stream knows under the same numbers as something else.
        await connection.execute(
            MESSAGES.insert().values(
                number=2, id="e4", subject=bus.subjects.event("test.counted", "k"),
                payload=counted(4).encode(), added_at=utc_now(),
            )
        )  # fmt: skip
    await Relay(bus, outbox).drain()
    assert await published(bus) == [1, 2, 3, 4]
    async with database.transaction() as session:
        assert (await (await session.connection()).execute(select(LANE.c.lane))).scalar_one() != lane


async def test_after_a_set_back_the_server_still_knows_young_message_ids(
    bus: Bus, outbox: Outbox, database: Database
) -> None:
    await add(outbox, database, 1, 2)
    await Relay(bus, outbox).drain()
    async with database.transaction() as session:
        connection = await session.connection()
        await connection.execute(update(MESSAGES).values(sent_at=None))
        await connection.execute(update(LANE).values(lane="another"))
    await Relay(bus, outbox).drain()
    assert await published(bus) == [1, 2]


async def test_old_sent_messages_are_forgotten_and_unsent_ones_never(
    bus: Bus, database: Database, outbox: Outbox
) -> None:
    await add(outbox, database, 1, 2, 3)
    await Relay(bus, outbox).drain()
    await add(outbox, database, 4)
    later = Outbox(database, bus.subjects, lambda: utc_now() + timedelta(days=2), source="/test")
    assert await later.purge(86_400) == 3
    assert await later.anything_unsent()
    await Relay(bus, outbox).drain()
    assert await later.purge(86_400) == 0
    assert await published(bus) == [1, 2, 3, 4]


@given(
    transactions=st.lists(st.integers(1, 3), min_size=1, max_size=8),
    before=st.sets(st.integers(1, 5)),
    after=st.sets(st.integers(1, 5)),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whenever_relays_die_every_event_is_there_once_and_in_order(
    transactions: list[int],
    before: set[int],
    after: set[int],
    bus_settings: BusSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    namespace = tmp_path_factory.mktemp("t").name
    database = Database(make_engine(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('d') / 'o.db'}"))
    async with await Bus.connect(bus_settings.model_copy(update={"namespace": namespace})) as bus:
        await declare(bus)
        outbox = await make_outbox(database, bus)
        dying = CrashingBus(bus, before=before, after=after)
        number = 0
        for size in transactions:
            await add(outbox, database, *range(number, number + size))
            number += size
            await relay_until_crash(dying, outbox)
        async with asyncio.timeout(10):
            while await outbox.anything_unsent():
                held_s = await Relay(bus, outbox, RelaySettings(lease_s=0)).drain()
                await asyncio.sleep(held_s or 0)
        assert await published(bus) == list(range(number))
    await database.close()


@pytest.mark.parametrize(
    ("point", "stored", "in_the_end"),
    [("written", [], [1, 3]), ("committed", [], [1, 2, 3]), ("published", [1, 2], [1, 2, 3])],
)
async def test_what_a_killed_process_left_behind_is_taken_over(
    bus: Bus, database_url: str, point: str, stored: list[int], in_the_end: list[int]
) -> None:
    script = Path(__file__).with_name("dying_relay.py")
    killed = await asyncio.create_subprocess_exec(
        sys.executable, str(script), database_url, bus.settings.url, bus.settings.namespace, point,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    async with asyncio.timeout(60):
        assert await killed.wait() == -9
    assert await published(bus) == stored
    await forget_message_ids(bus)
    database = Database(make_engine(database_url))
    outbox = await make_outbox(database, bus)
    assert await outbox.anything_unsent()
    async with Relay(bus, outbox, QUICK):
        await add(outbox, database, 3)
        await until_published(bus, in_the_end)
    await database.close()
