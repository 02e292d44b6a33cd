"""The embedded server is a real one, and never outlives its owner."""

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import nats
import pytest

from contracts.failure import Unusable
from events.embedded import EmbeddedServer, check_server, find_binary, server


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while (
            Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
        ):
            await asyncio.sleep(0.02)


@pytest.fixture
def binary() -> Path:
    return find_binary({"PATH": ""})


async def test_it_starts_with_jetstream_and_stops_with_the_block(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        pid = embedded.pid
        info = await check_server(embedded.url)
        assert tuple(int(part) for part in info.version.split(".")[:2]) >= (2, 12)
    await gone(pid)
    assert not embedded.store.exists()


async def test_it_stops_when_its_owner_is_killed(binary: Path, tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from events.embedded import EmbeddedServer\n"
        "async def main():\n"
        "    server = await EmbeddedServer(Path(sys.argv[1]), Path(sys.argv[2])).start()\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(binary), str(tmp_path / "store"), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pid = int(await owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()
    await gone(pid)


async def test_what_was_acknowledged_survives_a_kill_of_the_server(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded:
        client = await nats.connect(embedded.url)
        await client.jetstream().add_stream(name="S", subjects=["s.>"])
        acknowledged = await client.jetstream().publish("s.1", b"kept")
        await client.close()
        url = embedded.url
        await embedded.kill()
        await embedded.start()
        assert embedded.url == url
        client = await nats.connect(embedded.url)
        message = await client.jetstream().get_msg("S", seq=acknowledged.seq)
        await client.close()
    assert message.data == b"kept"


async def test_a_given_server_is_used_and_nothing_is_started(binary: Path) -> None:
    async with EmbeddedServer(binary) as embedded, server({"NATS_URL": embedded.url}) as url:
        assert url == embedded.url


async def test_an_unreachable_server_gives_one_clear_line() -> None:
    with pytest.raises(Unusable, match=r"no NATS server at nats://127\.0\.0\.1:9") as caught:
        await check_server("nats://127.0.0.1:9")
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)


async def test_a_server_without_jetstream_is_refused(binary: Path, tmp_path: Path) -> None:
    ports = tmp_path / "ports"
    ports.mkdir()
    process = await asyncio.create_subprocess_exec(
        str(binary), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(ports),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(10):
            while not (found := list(ports.glob("*.ports"))) or not found[0].read_text():
                await asyncio.sleep(0.02)
        port = found[0].read_text().split('"nats://')[1].split('"')[0].rsplit(":", 1)[1]
        with pytest.raises(Unusable, match="has no JetStream"):
            await check_server(f"nats://127.0.0.1:{port}")
    finally:
        process.terminate()
        await process.wait()


def script_named(folder: Path, version: str) -> Path:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\necho 'nats-server: v{version}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_server_that_is_named_but_too_old_is_refused(tmp_path: Path) -> None:
    old = script_named(tmp_path, "2.9.10")
    with pytest.raises(Unusable, match=r"2\.9\.10: at least 2\.12"):
        find_binary({"SAGA_NATS_SERVER_BIN": str(old)})


def test_an_old_server_on_the_path_is_passed_over(tmp_path: Path) -> None:
    old = script_named(tmp_path, "2.9.10")
    assert find_binary({"PATH": f"{tmp_path}:/bin"}) != old


def test_a_new_enough_server_on_the_path_is_taken(tmp_path: Path) -> None:
    new = script_named(tmp_path, "2.12.3")
    assert find_binary({"PATH": f"{tmp_path}:/bin"}) == new


def test_a_named_file_that_is_no_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="is no nats-server that runs"):
        find_binary({"SAGA_NATS_SERVER_BIN": str(tmp_path / "nothing")})
