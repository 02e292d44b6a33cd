"""Archives: what is older than a time, out of the stream into compressed files that can still be replayed.

A folder holds segments (JSON lines of a recording, compressed by zstd, each with the definitions it needs) and
`manifest.json`, which names each with its checksum. A segment is written beside its place, synced and renamed, and
then the manifest is, so that what the manifest names is whole, whenever the process dies; an archive that is
continued goes on after its last segment. Nothing is taken out of the stream: its own retention does that. What the
archive itself no longer keeps (`saga.retention`) stays in the manifest, with its checksum.
"""

import hashlib
import io
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import zstandard

from contracts.facts import Fact
from contracts.failure import Conflict, InvalidContract, NotFound
from events.bus import Bus
from events.clock import Clock, utc_now
from events.definitions import Definitions
from events.read import StreamMessage, first_sequence, follow, kept_for_s, last_sequence
from saga.exporting import fact_in
from saga.manifest import (
    MANIFEST,
    Manifest,
    Retention,
    Segment,
    held,
    problem_of,
    put,
    read_manifest,
    write_manifest,
)
from saga.recording import definition_line, header_line, message_line

SUFFIX = ".jsonl.zst"
MESSAGES = 50_000
_LEVEL = 9
_CHUNK = 1 << 20

type Tell = Callable[[int, int], None]
"""Called with how many messages are done, and how many there are at most."""


async def archive(
    bus: Bus,
    definitions: Definitions,
    folder: Path,
    before: datetime,
    *,
    tell: Tell,
    segment: int = MESSAGES,
    retention: Retention | None = None,
    clock: Clock = utc_now,
) -> list[Segment]:
    """Archive what was stored before an instant and is not archived yet; the segments that are new.

    A `retention` is noted as the archive's own; `saga.retention` applies it. Raises Conflict if the folder holds the
    archive of another namespace, or another process is at work on it.
    """
    with held(_made(folder)):
        manifest = _opened(folder, bus.settings.namespace)
        if retention is not None and manifest.retention != retention:
            manifest = manifest.model_copy(update={"retention": retention})
            write_manifest(folder, manifest)
        written: list[Segment] = []
        for partition in range(bus.settings.partitions):
            newest, after = await last_sequence(bus, partition), manifest.last(partition)
            async with aclosing(_old(bus, partition, after, before, segment)) as batches:
                async for batch in batches:
                    new = await _write(folder, definitions, partition, after, batch, clock())
                    manifest = manifest.model_copy(update={"segments": (*manifest.segments, new)})
                    write_manifest(folder, manifest)
                    written.append(new)
                    after = new.last
                    tell(after, newest)
        return written


async def _old(
    bus: Bus, partition: int, after: int, before: datetime, size: int
) -> AsyncGenerator[list[StreamMessage]]:
    """What was stored before an instant, after a sequence, up to the newest message of now; so many at a time."""
    newest, kept_from = await last_sequence(bus, partition), await first_sequence(bus, partition)
    if newest <= max(after, kept_from - 1):
        return
    gathered: list[StreamMessage] = []
    async with aclosing(follow(bus, partition, after, pause_s=0.001)) as batches:
        async for batch in batches:
            old = [message for message in batch if message.stored_at < before]
            gathered += old
            over = len(old) < len(batch) or batch[-1].sequence >= newest
            while len(gathered) >= size or (over and gathered):
                yield gathered[:size]
                gathered = gathered[size:]
            if over:
                return


async def too_late(bus: Bus, older_than_s: float) -> str:
    """Says that the stream drops facts before they are old enough to be archived; empty if it does not.

    Raises NotFound.
    """
    kept = [age for partition in range(bus.settings.partitions) if (age := await kept_for_s(bus, partition))]
    if not kept or min(kept) > older_than_s:
        return ""
    return (
        f"the stream keeps a fact for {min(kept):g} s (SAGA_BUS_MAX_AGE_S), and only what is {older_than_s:g} s old is "
        "archived: most is lost before that, so archive what is younger (--older-than-s), and often"
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _opened(folder: Path, namespace: str) -> Manifest:
    manifest = read_manifest(folder) if (folder / MANIFEST).exists() else Manifest(namespace=namespace)
    if manifest.namespace != namespace:
        raise Conflict(f"{folder} is the archive of namespace {manifest.namespace!r}: choose another folder")
    return manifest


async def _write(
    folder: Path, definitions: Definitions, partition: int, after: int, messages: Sequence[StreamMessage],
    now: datetime,
) -> Segment:  # fmt: skip
    facts = [fact_in(message) for message in messages]
    refs = {fact.definition: None for fact in facts if fact is not None}
    known = [one for ref in refs if (one := await definitions.fetch(ref)) is not None]
    lines = [header_line(now, None), *map(definition_line, known)]
    pairs: list[tuple[StreamMessage, Fact | None]] = list(zip(messages, facts, strict=True))
    lines += [message_line(partition, message, fact, None) for message, fact in pairs]
    content = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(
        "".join(f"{line}\n" for line in lines).encode()
    )
    first, last = messages[0], messages[-1]
    name = f"facts-{partition}-{first.sequence:012d}-{last.sequence:012d}{SUFFIX}"
    put(folder / name, content)
    return Segment(
        file=name, partition=partition, first=first.sequence, last=last.sequence, messages=len(messages),
        missing=first.sequence - after - 1, first_at=first.stored_at, last_at=last.stored_at,
        bytes=len(content), sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


def read_lines(file: Path) -> Iterator[str]:
    """The lines of a file, compressed or not. Raises NotFound, and InvalidContract if it is damaged."""
    try:
        with file.open("rb") as raw:
            stream = zstandard.ZstdDecompressor().stream_reader(raw) if file.suffix == ".zst" else raw
            yield from io.TextIOWrapper(io.BufferedReader(stream, _CHUNK), "utf-8")
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from error
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise InvalidContract(f"{file} is damaged: {error}") from error


def archived_lines(folder: Path) -> Iterator[str]:
    """The lines of all segments, each checked by its checksum first. Raises NotFound, InvalidContract."""
    for one in read_manifest(folder).segments:
        if problem := problem_of(folder, one):
            raise InvalidContract(problem)
        yield from read_lines(folder / one.file)
