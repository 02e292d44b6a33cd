"""What an archive no longer keeps goes oldest first, stays in the manifest, and is gone whole whenever it dies."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failure import Conflict
from saga.archive import archive
from saga.manifest import (
    Manifest,
    Removed,
    Retention,
    Segment,
    gaps_of,
    held,
    problem_of,
    read_manifest,
    write_manifest,
)
from saga.retention import due, prune
from tests.saga.test_archive import archived, nobody, play, tomorrow
from tests.world import Running, World

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FOREVER = Retention()


def segment(number: int, *, partition: int = 0, age_days: float = 0.0, content: bytes = b"x") -> Segment:
    """The `number`th of a partition, from 1, of ten messages; its newest is so many days old."""
    at = NOW - timedelta(days=age_days)
    return Segment(
        file=f"facts-{partition}-{number}.jsonl.zst", partition=partition, first=number * 10 - 9, last=number * 10,
        messages=10, first_at=at - timedelta(hours=1), last_at=at, bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


def folder_of(folder: Path, retention: Retention, *ages_days: float) -> Path:
    """An archive of one partition, its oldest segment first."""
    contents = [f"segment {number}".encode() for number in range(1, len(ages_days) + 1)]
    segments = [
        segment(number, age_days=age, content=content)
        for number, (age, content) in enumerate(zip(ages_days, contents, strict=True), 1)
    ]
    for one, content in zip(segments, contents, strict=True):
        (folder / one.file).write_bytes(content)
    write_manifest(folder, Manifest(namespace="n", segments=tuple(segments), retention=retention))
    return folder


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {"manifest.json"}


def names(segments: Sequence[Segment]) -> list[str]:
    return [one.file for one in segments]


AGES = st.lists(st.floats(0, 100), max_size=8).map(lambda ages: sorted(ages, reverse=True))


@given(AGES, AGES, st.none() | st.floats(0.1, 100), st.none() | st.integers(0, 20))
def test_what_goes_is_the_oldest_and_no_more_than_must(
    one: list[float], other: list[float], days: float | None, held: int | None
) -> None:
    segments = [
        segment(number, partition=partition, age_days=age)
        for partition, ages in enumerate((one, other))
        for number, age in enumerate(ages, 1)
    ]
    policy = Retention(keep_days=days, keep_bytes=held)
    gone = due(Manifest(namespace="n", segments=tuple(segments), retention=policy), NOW)
    kept = [one for one in segments if one.file not in set(names(gone))]
    assert len(gone) + len(kept) == len(segments)
    assert all(old.last_at <= young.last_at for old in gone for young in kept)
    for partition in (0, 1):
        # What stays of a partition follows what went.
        assert all(a.last < b.first for a in gone for b in kept if a.partition == b.partition == partition)
    oldest = NOW - timedelta(days=days) if days is not None else datetime.min.replace(tzinfo=UTC)
    assert all(one.last_at >= oldest for one in kept)
    assert held is None or len(kept) <= held
    must = sum(one.last_at < oldest for one in segments)
    over = max(0, len(segments) - held) if held is not None else 0
    assert len(gone) == max(must, over)


def test_what_went_is_told_with_its_time_and_why(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, Retention(keep_days=30, keep_bytes=18), 40, 20, 10, 5)
    before = read_manifest(folder)
    gone = prune(folder, NOW)
    assert [(one.file, one.reason) for one in gone] == [
        (before.segments[0].file, "older than 30 days"),
        (before.segments[1].file, "more than 18 bytes were held"),
    ]
    after = read_manifest(folder)
    assert after.removed == tuple(gone)
    assert [Segment(**one.model_dump()) for one in (*gone, *after.segments)] == list(before.segments)
    assert all(one.removed_at == NOW for one in gone)
    assert files(folder) == set(names(after.segments))
    assert (gaps_of(after), after.last(0)) == ([], 40)
    assert prune(folder, NOW) == []


def test_a_policy_is_kept_and_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FOREVER, 40, 20)
    before = read_manifest(folder)
    would = prune(folder, NOW, Retention(keep_days=30), dry_run=True)
    assert (names(would), read_manifest(folder), len(files(folder))) == ([before.segments[0].file], before, 2)
    assert prune(folder, NOW) == []
    assert prune(folder, NOW, Retention(keep_days=50)) == []
    assert read_manifest(folder).retention == Retention(keep_days=50)
    later = NOW + timedelta(days=15)
    assert names(prune(folder, later)) == [before.segments[0].file]


@pytest.mark.parametrize("harm", ["changed", "cut", "gone", "gap", "another"])
def test_nothing_is_removed_from_an_archive_that_does_not_fit_its_manifest(tmp_path: Path, harm: str) -> None:
    folder = folder_of(tmp_path, Retention(keep_days=30), 50, 40, 20)
    manifest = read_manifest(folder)
    first, _, third = manifest.segments
    match harm:
        case "changed":
            (folder / first.file).write_bytes(b"SEGMENT 1")
        case "cut":
            (folder / third.file).write_bytes(b"segm")
        case "gone":
            (folder / third.file).unlink()
        case "gap":
            write_manifest(folder, manifest.model_copy(update={"segments": (first, third)}))
        case "another":
            noted = Removed(**segment(9, content=b"y").model_dump(), removed_at=NOW, reason="so")
            (folder / noted.file).write_bytes(b"not what was noted")
            moved = noted.model_copy(update={"partition": 1, "missing": 80})
            write_manifest(folder, manifest.model_copy(update={"removed": (moved,)}))
    before, held = read_manifest(folder), files(folder)
    with pytest.raises(Conflict, match="does not fit"):
        prune(folder, NOW)
    assert (read_manifest(folder), files(folder)) == (before, held)


def test_who_removes_nothing_asks_nothing_of_the_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FOREVER, 50, 20)
    (folder / read_manifest(folder).segments[0].file).unlink()
    assert prune(folder, NOW) == []


def test_one_process_at_a_time_is_at_work_on_an_archive(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, Retention(keep_days=30), 50, 20)
    with held(folder), pytest.raises(Conflict, match="another process is at work"):
        prune(folder, NOW)
    assert len(prune(folder, NOW)) == 1


DIES = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from saga import retention

method, nth = sys.argv[2], int(sys.argv[3])
does, calls = getattr(Path, method), []

def or_dies(self, *given, **options):
    calls.append(self)
    if len(calls) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return does(self, *given, **options)

setattr(Path, method, or_dies)
retention.prune(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[4]))
"""


@pytest.mark.parametrize(
    ("method", "nth", "noted"), [("replace", 1, False), ("unlink", 1, True), ("unlink", 2, True)]
)
def test_who_dies_in_between_leaves_what_the_next_run_takes_away(
    tmp_path: Path, method: str, nth: int, noted: bool
) -> None:
    folder = folder_of(tmp_path, Retention(keep_days=30), 50, 40, 20)
    before = read_manifest(folder)
    died = subprocess.run(
        [sys.executable, "-c", DIES, str(folder), method, str(nth), NOW.isoformat()],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, timeout=60, check=False,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL
    left = read_manifest(folder)
    # What the manifest names is there and whole, and some of what it names no more may be, too.
    assert [problem_of(folder, one) for one in left.segments] == [""] * len(left.segments)
    assert len(left.removed) == (2 if noted else 0)
    assert len(files(folder) - {"manifest.json.part"}) > 1
    assert names(prune(folder, NOW)) == ([] if noted else names(before.segments[:2]))
    after = read_manifest(folder)
    assert names(after.removed) == names(before.segments[:2])
    assert files(folder) == {before.segments[2].file}


async def test_an_archive_goes_on_after_what_was_removed(
    running: Running, world: World, tmp_path: Path
) -> None:
    await play(running, world)
    written = await archive(
        running.bus, running.definitions, tmp_path, tomorrow(), tell=nobody, segment=10,
        retention=Retention(keep_bytes=0),
    )  # fmt: skip
    assert names(prune(tmp_path, tomorrow())) == names(written)
    # The stream still keeps them all.
    assert await archived(running, tmp_path, tomorrow()) == []
    await play(running, world)
    second = await archived(running, tmp_path, tomorrow())
    assert second[0].first == written[-1].last + 1
    assert gaps_of(read_manifest(tmp_path)) == []
