"""What an archive no longer keeps, by its policy: the oldest segments, whole, and noted in the manifest.

A removed segment stays in the manifest with its place, times and checksum, when it went and why, so it can be told
what an archive has held. The manifest is written before the files go: a process that dies between the two leaves
files that the next run takes away, and never a manifest that names what is not there.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from contracts.failure import Conflict
from saga.manifest import (
    Manifest,
    Removed,
    Retention,
    gaps_of,
    held,
    problem_of,
    read_manifest,
    write_manifest,
)


def due(manifest: Manifest, now: datetime) -> list[Removed]:
    """What the policy no longer keeps, the oldest first."""
    return list(_due(manifest, now))


def _due(manifest: Manifest, now: datetime) -> Iterator[Removed]:
    policy = manifest.retention
    held = sum(one.bytes for one in manifest.segments)
    for one in sorted(manifest.segments, key=lambda one: (one.last_at, one.partition, one.first)):
        if policy.keep_days is not None and now - one.last_at > timedelta(days=policy.keep_days):
            reason = f"older than {policy.keep_days:g} days"
        elif policy.keep_bytes is not None and held > policy.keep_bytes:
            reason = f"more than {policy.keep_bytes} bytes were held"
        else:
            # Whatever comes after it is younger.
            return
        held -= one.bytes
        yield Removed(**one.model_dump(), removed_at=now, reason=reason)


def prune(
    folder: Path, now: datetime, retention: Retention | None = None, *, dry_run: bool = False
) -> list[Removed]:
    """Take away what the archive's policy no longer keeps; what that is. A `retention` becomes its policy.

    `dry_run` changes nothing. Raises NotFound, InvalidContract, and Conflict if the manifest does not fit the files, or
    another process is at work on the archive: then nothing is removed.
    """
    with held(folder):
        found = read_manifest(folder)
        manifest = found if retention is None else found.model_copy(update={"retention": retention})
        gone = due(manifest, now)
        # What a run before this one has noted, and could not take away any more.
        left = [one for one in manifest.removed if (folder / one.file).exists()]
        if gone or left:
            _require_fits(folder, manifest, [*gone, *left])
        if dry_run:
            return gone
        if gone or manifest != found:
            files = {one.file for one in gone}
            kept = tuple(one for one in manifest.segments if one.file not in files)
            manifest = manifest.model_copy(update={"segments": kept, "removed": (*manifest.removed, *gone)})
            write_manifest(folder, manifest)
        _take_away([folder / one.file for one in (*left, *gone)])
        return gone


def _require_fits(folder: Path, manifest: Manifest, leaving: list[Removed]) -> None:
    problems = [*gaps_of(manifest), *filter(None, (problem_of(folder, one) for one in leaving))]
    files = {one.file for one in leaving}
    problems += [
        f"{folder / one.file} is not the file that the manifest names"
        for one in manifest.segments
        if one.file not in files and _size(folder / one.file) != one.bytes
    ]
    if problems:
        raise Conflict(f"nothing is removed, for the manifest does not fit the files: {'; '.join(problems)}")


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _take_away(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
    if files:
        folder = os.open(files[0].parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
