"""A real IMAP server of the test's own, filled with the messages of an mbox file."""

import asyncio
import mailbox
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from imap_tools import MailBoxUnencrypted

USER, PASSWORD = "demouser", "demopass"
_READY_S = 20


@asynccontextmanager
async def imap_server(messages: Path) -> AsyncIterator[int]:
    """Its port on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "pymap", "--host", "127.0.0.1", "--port", str(port), "--no-tls", "dict",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_READY_S):
            while not await _greets(port):
                await asyncio.sleep(0.05)
        await asyncio.to_thread(_fill, port, messages)
        yield port
    finally:
        process.terminate()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Impostor:
    """A server with a certificate of its own making, and what it was told."""

    port: int
    certificate: Path
    told: list[bytes]


@asynccontextmanager
async def impostor(folder: Path) -> AsyncIterator[Impostor]:
    """It calls itself an IMAP server."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    told: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        told.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Impostor(server.sockets[0].getsockname()[1], certificate, told)


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    greeting = await reader.readline()
    writer.close()
    return greeting.startswith(b"* OK")


def _fill(port: int, messages: Path) -> None:
    box = mailbox.mbox(messages, create=False)
    with MailBoxUnencrypted("127.0.0.1", port).login(USER, PASSWORD) as inbox:
        for key in box.keys():  # noqa: SIM118 - a mailbox iterates over its messages
            inbox.append(box.get_bytes(key), "INBOX")
    box.close()
