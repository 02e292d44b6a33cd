"""`saga trail`: what the audit hook has written about every step, and the proof that nobody has changed it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import Output
from saga.cli.output import Format, say, write

BROKEN = 8
_COLUMNS = ("at", "chain", "stage", "step", "attempt", "user", "code", "saga_id")

app = typer.Typer(
    no_args_is_help=True, help="The audit trail: list, verify, heads. Reads the bus in NATS_URL."
)

Heads = Annotated[
    Path | None, typer.Option(help="A file written by `saga trail heads -o json`: nothing since may be gone.")
]


@app.command("list")
def list_(
    saga: Annotated[str, typer.Option("--saga", help="Only of this saga.")] = "",
    user: Annotated[str, typer.Option(help="Only what was run for this user.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Every entry, in the order of the stream."""
    rows = [
        {"chain": block.chain, "block": block.number, **entry.model_dump(mode="json")}
        for block in _blocks()[0]
        for entry in block.entries
        if saga in ("", entry.saga_id) and user in ("", entry.user)
    ]
    write(rows, output, _COLUMNS)


@app.command()
def heads(output: Output = Format.TABLE) -> None:
    """The newest block of every chain: keep it where nobody who can write the stream can write."""
    write([asdict(head) for head in _heads(_blocks()[0])], output, ("chain", "number", "hash"))


@app.command()
def verify(
    heads: Heads = None,
    key: Annotated[
        str, typer.Option(envvar="SAGA_AUDIT_KEY", help="The key the blocks are sealed with.")
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Prove that no block was changed, removed, inserted or moved. Exit code 8 if one was."""
    from contracts.trail import verify as find_breaks

    blocks, unreadable = _blocks()
    breaks = unreadable + find_breaks(blocks, key.encode(), _known(heads) if heads else ())
    write([asdict(one) for one in breaks], output, ("chain", "number", "reason"))
    say(f"{len(blocks)} blocks in {len({block.chain for block in blocks})} chains, {len(breaks)} breaks")
    if breaks:
        raise typer.Exit(BROKEN)


def _blocks() -> tuple[list[Any], list[Any]]:
    """The blocks of the stream, and what is none."""
    from saga.cli.session import run

    return run(_read())


async def _read() -> tuple[list[Any], list[Any]]:
    from contracts.failure import InvalidContract
    from contracts.trail import Break, TrailBlock
    from events.bus import Bus
    from events.settings import BusSettings
    from events.streams import declare
    from events.trail import Trail

    async with await Bus.connect(BusSettings()) as bus:
        await declare(bus)
        stored = await Trail(bus).read()
    blocks, unreadable = [], []
    for sequence, payload in stored:
        try:
            blocks.append(TrailBlock.decode(payload))
        except InvalidContract as error:
            unreadable.append(Break(chain="", number=sequence, reason=f"in the stream: {error}"))
    return blocks, unreadable


def _heads(blocks: list[Any]) -> list[Any]:
    from contracts.trail import Head

    newest = {block.chain: block for block in blocks}
    return [
        Head(chain=chain, number=block.number, hash=block.hash) for chain, block in sorted(newest.items())
    ]


def _known(file: Path) -> list[Any]:
    from contracts.failure import InvalidContract
    from contracts.trail import Head

    try:
        return [Head(**head) for head in json.loads(file.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise InvalidContract(f"{file} is no list of heads: {error}") from error
