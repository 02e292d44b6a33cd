"""The manifest of an archive: which segments it holds, with their checksums, and which it has held.

It is put in the place of the one before, whole or not at all.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts.facts import explain
from contracts.failure import Conflict, InvalidContract, NotFound

MANIFEST = "manifest.json"


class Segment(BaseModel):
    """One file. `missing`: messages before it that the stream no longer kept when it was written."""

    model_config = ConfigDict(frozen=True)

    file: str = Field(pattern=r"^[^/\\]+$")
    partition: int
    first: int
    last: int
    messages: int
    missing: int = 0
    first_at: datetime
    last_at: datetime
    bytes: int
    sha256: str


class Removed(Segment):
    """A segment that was archived and is kept no more."""

    removed_at: AwareDatetime
    reason: str


class Retention(BaseModel):
    """How long segments are kept, and how many bytes of them at most; None: no matter. What comes first counts."""

    model_config = ConfigDict(frozen=True)

    keep_days: float | None = Field(default=None, gt=0)
    keep_bytes: int | None = Field(default=None, ge=0)


class Manifest(BaseModel):
    """What an archive holds, and what it has held."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    namespace: str
    segments: tuple[Segment, ...] = ()
    retention: Retention = Retention()
    removed: tuple[Removed, ...] = ()

    def last(self, partition: int) -> int:
        """The newest sequence of a partition that was ever archived; 0 if none was."""
        return max((one.last for one in self.history(partition)), default=0)

    def history(self, partition: int) -> list[Segment]:
        """All segments of a partition that there were, in their order."""
        ever = (*self.removed, *self.segments)
        return sorted((one for one in ever if one.partition == partition), key=lambda one: one.first)


def read_manifest(folder: Path) -> Manifest:
    """Raises NotFound, and InvalidContract if it is none."""
    file = folder / MANIFEST
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise NotFound(f"no archive in {folder}: {error.strerror}") from error
    except ValidationError as error:
        raise InvalidContract(f"{file}: {explain(error)}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put it in the place of the one before; on disk when this returns."""
    put(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else writes or prunes this archive meanwhile. Raises NotFound, Conflict if somebody does so now."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise NotFound(f"no archive in {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another process is at work on {folder}: wait for it") from error
        yield
    finally:
        os.close(descriptor)


def put(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, on disk when this returns."""
    beside = file.with_name(f"{file.name}.part")
    with beside.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def gaps_of(manifest: Manifest) -> list[str]:
    """Where the segments that there are and were do not follow each other."""
    found = []
    for partition in sorted({one.partition for one in (*manifest.segments, *manifest.removed)}):
        after = 0
        for one in manifest.history(partition):
            if one.first != after + one.missing + 1:
                found.append(f"{one.file} begins with {one.first}, expected {after + one.missing + 1}")
            after = one.last
    return found


def problem_of(folder: Path, segment: Segment) -> str:
    """What is wrong with a segment's file; empty if it is as it was written."""
    file = folder / segment.file
    try:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return f"{file}: {error.strerror}"
    return (
        "" if found == segment.sha256 else f"{file} is damaged: its checksum is not the one in the manifest"
    )
