"""`saga archive`: old facts into files, the files checked, and removed when they are too old or too many."""

from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import Output
from saga.cli.output import Format, say, write

DAMAGED = 10
_COLUMNS = ("file", "messages", "bytes", "first_at", "last_at")

Folder = Annotated[Path, typer.Argument(help="The archive's folder.")]
OlderThan = Annotated[
    float, typer.Option("--older-than-s", min=0, help="What is at least so many seconds old.")
]
Verify = Annotated[bool, typer.Option("--verify", help="Only check every file against its checksum.")]
KeepDays = Annotated[
    float | None, typer.Option(min=0.001, help="From now on remove what is older, whole files at a time.")
]
KeepBytes = Annotated[
    int | None, typer.Option(min=0, help="From now on remove the oldest beyond so many bytes.")
]
KeepAll = Annotated[bool, typer.Option("--keep-all", help="From now on remove nothing.")]
Prune = Annotated[bool, typer.Option("--prune", help="Only remove what the archive no longer keeps.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what --prune would remove.")]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command()(archive)


def archive(
    folder: Folder, older_than_s: OlderThan = 86_400, verify: Verify = False, keep_days: KeepDays = None,
    keep_bytes: KeepBytes = None, keep_all: KeepAll = False, prune: Prune = False, dry_run: DryRun = False,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Old facts from the stream into compressed files with checksums; `saga replay --file FOLDER` reads them.

    Reads the bus in NATS_URL; run it again to go on. What is removed stays in the manifest. Exit code 10 if a file is
    damaged (--verify).
    """
    from contracts.failure import InvalidContract

    if keep_all and (keep_days is not None or keep_bytes is not None):
        raise InvalidContract("--keep-all keeps everything: leave --keep-days and --keep-bytes out")
    if verify:
        _verify(folder, output)
        return
    retention = _retention(keep_days, keep_bytes, keep_all=keep_all)
    if prune or dry_run:
        write(_pruned(folder, retention, dry_run=dry_run), output, (*_COLUMNS, "reason"))
        return
    from saga.cli.session import run
    from saga.manifest import MANIFEST

    segments = run(_archive(folder, older_than_s, retention))
    for one in segments:
        if one["missing"]:
            say(f"{one['missing']} messages before {one['first']} were no longer in the stream")
    write(segments, output, _COLUMNS)
    if (folder / MANIFEST).exists() and (gone := _pruned(folder, None, dry_run=False)):
        say(f"{len(gone)} segments are no longer kept: {', '.join(one['file'] for one in gone)}")


def _retention(keep_days: float | None, keep_bytes: int | None, *, keep_all: bool) -> Any:
    from saga.manifest import Retention

    given = keep_all or keep_days is not None or keep_bytes is not None
    return Retention(keep_days=keep_days, keep_bytes=keep_bytes) if given else None


def _pruned(folder: Path, retention: Any, *, dry_run: bool) -> list[dict[str, Any]]:
    from events.clock import utc_now
    from saga.retention import prune

    gone = prune(folder, utc_now(), retention, dry_run=dry_run)
    return [one.model_dump(mode="json") for one in gone]


def _verify(folder: Path, output: Format) -> None:
    from saga.manifest import gaps_of, problem_of, read_manifest

    manifest = read_manifest(folder)
    damaged = [problem for one in manifest.segments if (problem := problem_of(folder, one))]
    gaps = gaps_of(manifest)
    for problem in (*damaged, *gaps):
        say(problem)
    summary = {
        "segments": len(manifest.segments),
        "messages": sum(one.messages for one in manifest.segments),
        "removed": len(manifest.removed),
        "damaged": len(damaged),
        "gaps": len(gaps),
    }
    write(summary, output)
    if damaged or gaps:
        raise typer.Exit(DAMAGED)


async def _archive(folder: Path, older_than_s: float, retention: Any) -> list[dict[str, Any]]:
    from datetime import timedelta

    from events.bus import Bus
    from events.clock import utc_now
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.archive import archive, too_late
    from saga.cli.output import progress

    async with await Bus.connect(BusSettings()) as bus, Definitions.open(bus) as definitions:
        if warning := await too_late(bus, older_than_s):
            say(warning)
        with progress("archiving") as tell:
            before = utc_now() - timedelta(seconds=older_than_s)
            written = await archive(bus, definitions, folder, before, tell=tell, retention=retention)
    return [segment.model_dump(mode="json") for segment in written]
