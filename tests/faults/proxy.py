"""A TCP proxy between participants and server that loses what it is told to lose.

It reads the protocol, so that it drops whole messages: acknowledgements of publishes on their way from the
server (`pubacks`: stored, and nobody knows), and acknowledgements of deliveries on their way to it (`acks`:
done, and done again). Both directions stay connected, as with a network that loses the one packet.

Arguments: listening port, server host:port, seed, and what to drop as `pubacks=0.03`. How much was dropped is
told in `dropped.json` beside the output, after every change.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random

_CRLF = b"\r\n"


class Dropper:
    """Decides which messages are lost, and counts them."""

    def __init__(self, seed: int, shares: dict[str, float], told: Path) -> None:
        self._random = Random(seed)
        self._shares = shares
        self._told = told
        self.dropped: Counter[str] = Counter()

    def drops(self, command: list[bytes], body: bytes) -> bool:
        what = _kind(command, body)
        if what is None or self._random.random() >= self._shares.get(what, 0):
            return False
        self.dropped[what] += 1
        return True

    async def tell(self) -> None:
        """Write the counts down whenever they have changed."""
        told: dict[str, int] = {}
        while True:
            if told != self.dropped:
                told = dict(self.dropped)
                part = self._told.with_suffix(".part")
                part.write_text(json.dumps(told))
                part.replace(self._told)
            await asyncio.sleep(0.05)


def _kind(command: list[bytes], body: bytes) -> str | None:
    """What a message is: `pubacks` (server to client), `acks` (client to server), or nothing to lose."""
    if command[0] == b"MSG" and command[1].startswith(b"_INBOX.") and b'"seq":' in body[:200]:
        return "pubacks" if body.startswith(b'{"stream":') else None
    if command[0] == b"PUB" and command[1].startswith(b"$JS.ACK.") and body.startswith(b"+ACK"):
        return "acks"
    return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dropper: Dropper) -> None:
    try:
        while line := await reader.readline():
            command = line.split()
            name = command[0].upper() if command else b""
            body = b""
            if name in (b"MSG", b"HMSG", b"PUB", b"HPUB"):
                body = await reader.readexactly(int(command[-1]) + len(_CRLF))
                if dropper.drops([name, *command[1:]], body):
                    continue
            writer.write(line + body)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def serve(port: int, server: str, dropper: Dropper) -> None:
    host, _, server_port = server.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, downstream = await asyncio.open_connection(host, int(server_port), limit=1 << 22)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, downstream, dropper), _pump(upstream, writer, dropper))

    async with await asyncio.start_server(connected, "127.0.0.1", port, limit=1 << 22) as listening:
        await asyncio.gather(listening.serve_forever(), dropper.tell())


def main() -> None:
    """Run it until killed."""
    port, server, seed, told, *shares = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    wanted = {name: float(share) for name, _, share in (given.partition("=") for given in shares)}
    dropper = Dropper(int(seed), wanted, Path(told))
    with asyncio.Runner() as runner:
        runner.run(serve(int(port), server, dropper))
