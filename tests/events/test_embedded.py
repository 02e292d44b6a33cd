"""The embedded server is a real one, never outlives its owner, and never shares its store."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import httpx2
import nats
import pytest

from contracts.failure import Unusable
from events.embedded import EmbeddedServer, check_server, find_binary, server

OWNER = """
import asyncio, sys
from pathlib import Path
from events.embedded import EmbeddedServer

async def main():
    store = Path(sys.argv[2]) if sys.argv[2] else None
    server = await EmbeddedServer(Path(sys.argv[1]), store).start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ended(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, over.set)
    try:
        async with asyncio.timeout(20):
            await over.wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


async def owner_of(binary: Path, store: Path | str) -> tuple[asyncio.subprocess.Process, int]:
    """A process that started a server, and the server's pid."""
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(binary), str(store), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    return owner, int(await owner.stdout.readline())


@pytest.fixture
def binary() -> Path:
    return find_binary({"PATH": ""})


async def test_it_starts_with_jetstream_and_stops_with_the_block(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        pid = embedded.pid
        info = await check_server(embedded.url)
        assert tuple(int(part) for part in info.version.split(".")[:2]) >= (2, 12)
    await ended(pid)
    assert not embedded.store.exists()


async def test_it_tells_over_http_that_it_is_well_and_syncs_every_message(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded, httpx2.AsyncClient(base_url=embedded.monitor_url) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/jsz")).json()["config"]["sync_always"] is True


async def test_a_sync_interval_is_read_as_what_it_says(binary: Path) -> None:
    async with (
        EmbeddedServer(binary, sync_interval="2m") as embedded,
        httpx2.AsyncClient(base_url=embedded.monitor_url) as http,
    ):
        assert (await http.get("/jsz")).json()["config"]["sync_interval"] == 120 * 10**9


@pytest.mark.parametrize("stopped", [False, True], ids=["a running server", "a server that hangs"])
async def test_it_stops_when_its_owner_is_killed(binary: Path, tmp_path: Path, stopped: bool) -> None:
    owner, pid = await owner_of(binary, tmp_path / "store")
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    owner.kill()
    await owner.wait()
    await ended(pid)


async def test_a_temporary_store_goes_with_the_server_when_the_owner_is_killed(binary: Path) -> None:
    owner, pid = await owner_of(binary, "")
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    store = Path(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[2]).parent
    assert store.exists()
    owner.kill()
    await owner.wait()
    await ended(supervisor)
    assert not store.exists()


async def test_a_successor_of_a_killed_owner_gets_the_store(binary: Path, tmp_path: Path) -> None:
    owner, pid = await owner_of(binary, tmp_path / "store")
    owner.kill()
    await owner.wait()
    async with EmbeddedServer(binary, tmp_path / "store") as successor:
        assert successor.pid != pid
        assert not lives(pid)


async def test_two_servers_never_share_a_store(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("events.embedded._LOCK_TIMEOUT_S", 0.2)
    async with EmbeddedServer(binary, tmp_path) as first:
        with pytest.raises(Unusable, match="another nats-server runs in"):
            await EmbeddedServer(binary, tmp_path).start()
        await check_server(first.url)


async def test_what_was_acknowledged_survives_a_kill_of_the_server(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        sequence = await store_one(embedded.url)
        before = embedded.url, embedded.monitor_url
        await embedded.kill()
        with pytest.raises(Unusable, match="connection refused"):
            await check_server(embedded.url)
        await embedded.start()
        assert (embedded.url, embedded.monitor_url) == before
        assert await stored(embedded.url, sequence) == b"kept"


async def test_a_restart_keeps_ports_and_data(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        sequence = await store_one(embedded.url)
        before = embedded.url, embedded.pid
        await embedded.restart()
        assert embedded.url == before[0]
        assert embedded.pid != before[1]
        assert await stored(embedded.url, sequence) == b"kept"


async def store_one(url: str) -> int:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    acknowledged = await client.jetstream().publish("s.1", b"kept")
    await client.close()
    return acknowledged.seq


async def stored(url: str, sequence: int) -> bytes | None:
    client = await nats.connect(url)
    message = await client.jetstream().get_msg("S", seq=sequence)
    await client.close()
    return message.data


async def test_a_port_can_be_chosen_and_a_taken_one_is_told(binary: Path) -> None:
    taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        refused = EmbeddedServer(binary, port=port)
        with pytest.raises(Unusable, match="address already in use"):
            await refused.start()
        assert not refused.store.exists()
    async with EmbeddedServer(binary, port=port) as embedded:
        assert embedded.url == f"nats://127.0.0.1:{port}"


async def test_a_taken_port_is_waited_for_by_a_server_that_had_it(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        port = int(embedded.url.rsplit(":", 1)[1])
        await embedded.kill()
        borrower = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        starting = asyncio.create_task(embedded.start())
        log = embedded.store / "server.log"
        async with asyncio.timeout(20):
            while "address already in use" not in log.read_text():
                await asyncio.to_thread(time.sleep, 0.01)
        borrower.close()
        await borrower.wait_closed()
        await starting
        await check_server(embedded.url)


async def test_a_server_that_cannot_start_tells_why_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "nats-server"
    broken.write_text("#!/bin/sh\necho 'no room on this machine' >&2\nexit 1\n")
    broken.chmod(0o755)
    embedded = EmbeddedServer(broken)
    with pytest.raises(Unusable, match="ended at its start: no room on this machine"):
        await embedded.start()
    assert not embedded.store.exists()


async def test_with_nats_url_that_server_is_used_and_nothing_is_started(binary: Path, tmp_path: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        environment = {"NATS_URL": embedded.url, "SAGA_NATS_SERVER_BIN": "/nothing"}
        async with server(environment, tmp_path / "store") as url:
            assert url == embedded.url
    assert not (tmp_path / "store").exists()


async def test_without_nats_url_one_is_started_in_the_store_given(tmp_path: Path) -> None:
    async with server({"PATH": ""}, tmp_path / "store") as url:
        await check_server(url)
        pid = int((tmp_path / "store" / "server.pid").read_text())
    await ended(pid)
    assert (tmp_path / "store" / "jetstream").is_dir()
