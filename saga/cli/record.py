"""`saga export sagas`, `saga import`: sagas as files, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import Output
from saga.cli.output import Format, say, write

SagaIds = Annotated[list[str] | None, typer.Argument(help="These sagas; without any, the filters choose.")]
OfDefinition = Annotated[str | None, typer.Option("--def", help="Only sagas of name or name@version.")]
Since = Annotated[str | None, typer.Option(help="Only sagas that began since: 24h, 30m, 7d, or an instant.")]
Before = Annotated[str | None, typer.Option(help="Only sagas that began before.")]
Out = Annotated[Path | None, typer.Option("--out", help="Into this file, compressed if it ends in .zst.")]
Redact = Annotated[list[str] | None, typer.Option(help="Another field to take out; may be given again.")]
Plain = Annotated[bool, typer.Option("--no-redaction", help="Leave secrets and personal data in it.")]
Live = Annotated[
    bool, typer.Option("--live", help="Though somebody serves these actions, and may go on with them.")
]


def add_to(app: typer.Typer, exports: typer.Typer) -> None:
    """Make these commands known."""
    exports.command("sagas")(export)
    app.command("import")(import_)


def export(
    saga_id: SagaIds = None, definition: OfDefinition = None, since: Since = None, before: Before = None,
    out: Out = None, redact: Redact = None, plain: Plain = False,
) -> None:  # fmt: skip
    """Sagas from the stream as JSON lines, with their definitions, without secrets and personal data.

    Reads the bus in NATS_URL and changes nothing.
    """
    from contracts.failure import InvalidContract
    from saga.cli.moments import moment_of
    from saga.cli.session import run
    from saga.exporting import Chosen
    from saga.hooks.redaction import Redactor

    if plain and redact:
        raise InvalidContract("--no-redaction takes nothing out: leave --redact out")
    chosen = Chosen(
        saga_ids=tuple(saga_id or ()), definition=definition, since=moment_of(since), before=moment_of(before)
    )
    redactor = None if plain else Redactor(fields=frozenset(redact or ()))
    with _writer(out) as tell:
        run(_export(chosen, redactor, tell))


def import_(
    file: Annotated[
        str, typer.Argument(help="A recording: JSON lines (.zst too), an archive's folder, or -.")
    ],
    live: Live = False,
    output: Output = Format.TABLE,
) -> None:
    """State recorded facts on the bus in NATS_URL, where nobody serves their actions. A repeat states nothing."""
    from saga.cli.recordings import read_file
    from saga.cli.session import run
    from saga.recording import contracts_hash

    recording = read_file(file)
    if recording.header and recording.header.get("contracts") != contracts_hash():
        say("it was recorded under other schemas of facts: every fact is checked against those of now")
    if recording.undecodable:
        say(f"{recording.undecodable} messages that are no facts are left out")
    write(run(_import(recording, live=live)), output)


async def _export(chosen: Any, redactor: Any, tell: Any) -> None:
    from contextlib import aclosing

    from events.bus import Bus
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.exporting import export

    async with await Bus.connect(BusSettings()) as bus, Definitions.open(bus) as definitions:
        async with aclosing(export(bus, definitions, chosen, redactor)) as lines:
            async for line in lines:
                tell(line)


async def _import(recording: Any, *, live: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from events.bus import Bus
    from events.definitions import Definitions
    from events.settings import BusSettings
    from events.streams import declare
    from saga.exporting import import_recording

    async with await Bus.connect(BusSettings()) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            return asdict(await import_recording(bus, definitions, recording, live=live))


@contextmanager
def _writer(out: Path | None) -> Iterator[Any]:
    """Takes lines: to stdout, or into a file that is there only when it is whole."""
    if out is None:
        yield print
        return
    import io

    import zstandard

    beside = out.with_name(f"{out.name}.part")
    try:
        with beside.open("wb") as raw:
            packed = zstandard.ZstdCompressor(write_checksum=True).stream_writer(raw)
            with io.TextIOWrapper(packed if out.suffix == ".zst" else raw, "utf-8") as text:
                yield lambda line: text.write(f"{line}\n")
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(out)
    say(f"in {out}")
