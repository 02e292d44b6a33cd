"""`saga what-if`: recorded sagas under another definition."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import Output
from saga.cli.output import Format, say, write

DIVERGED = 10
_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLUMNS = ("step", "what", "was", "would")

SagaId = Annotated[str | None, typer.Argument(help="Which saga; without one, --all.")]
New = Annotated[
    str, typer.Option("--definition", help="The other definition: a JSON or YAML file, or a shipped one.")
]
All = Annotated[bool, typer.Option("--all", help="Every saga of that name.")]
Since = Annotated[str | None, typer.Option(help="Only sagas that began since: 24h, 30m, 7d, or an instant.")]
File = Annotated[str | None, typer.Option("--file", help="A recording or an archive, instead of the stream.")]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("what-if")(what_if)


def what_if(
    definition: New, saga_id: SagaId = None, every: All = False, since: Since = None, file: File = None,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Would recorded sagas have gone another way under another definition? The first difference, and all of them.

    What steps did stands in for what they would do. Reads the bus in NATS_URL, or a file, and changes nothing. Exit
    code 10 if a saga diverges.
    """
    from contracts.failure import InvalidContract
    from saga.cli.session import run

    if (saga_id is None) != every:
        raise InvalidContract("give one saga, or --all")
    new, begun = _definition(definition), _since(since)
    verdict = _of_file(file, saga_id, new, begun) if file else run(_of_stream(saga_id, new, begun))
    if saga_id is not None:
        _show_one(saga_id, verdict, output)
    else:
        _show_all(verdict, output)
    if verdict.diverging:
        raise typer.Exit(DIVERGED)


def _definition(what: str) -> Any:
    from contracts.failure import NotFound
    from saga.cli.recordings import is_file, read_definition, shipped_definition

    if is_file(what):
        return read_definition(Path(what))
    found = shipped_definition(what)
    if found is None:
        raise NotFound(f"{what!r} is neither a JSON or YAML file nor shipped")
    return found


def _since(text: str | None) -> Any:
    from datetime import datetime, timedelta

    from contracts.failure import InvalidContract
    from events.clock import utc_now
    from saga.replay import read_until

    if text is None:
        return None
    if found := _DURATION.fullmatch(text):
        return utc_now() - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    instant = read_until(text)
    if not isinstance(instant, datetime):
        raise InvalidContract(f"{text!r} is neither a duration, as in 24h, nor an instant")
    return instant


def _undoable() -> set[str]:
    from contracts.actions import DOMAINS, domain_actions

    return {action.name for domain in DOMAINS for action in domain_actions(domain) if action.compensable}


def _of_file(file: str, saga_id: str | None, new: Any, since: Any) -> Any:
    from saga.cli.recordings import read_file, shipped_definition
    from saga.exporting import Chosen
    from saga.whatif import judge

    recording = read_file(file, saga_id)
    chosen = Chosen(definition=new.name, since=since)
    sagas: Mapping[str, Any] = {
        one: facts for one, facts in recording.sagas.items() if since is None or chosen.starts(facts[0].fact)
    }
    if saga_id is not None:
        sagas = {saga_id: recording.facts(saga_id)}
    _require_same_name(sagas, new, saga_id)
    return judge(
        new, sagas, lambda ref: recording.definitions.get(ref) or shipped_definition(ref), _undoable()
    )


async def _of_stream(saga_id: str | None, new: Any, since: Any) -> Any:
    from events.bus import Bus
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.exporting import Chosen, stories
    from saga.whatif import judge

    chosen = Chosen(saga_ids=(saga_id,)) if saga_id else Chosen(definition=new.name, since=since)
    async with await Bus.connect(BusSettings()) as bus, Definitions.open(bus) as definitions:
        sagas = await stories(bus, chosen)
        for ref in {facts[0].fact.definition for facts in sagas.values()}:
            await definitions.fetch(ref)
        _require_same_name(sagas, new, saga_id)
        return judge(new, sagas, definitions.get, _undoable())


def _require_same_name(sagas: Mapping[str, Any], new: Any, saga_id: str | None) -> None:
    from contracts.failure import InvalidContract

    if saga_id is not None and (of := sagas[saga_id][0].fact.saga) != new.name:
        raise InvalidContract(f"saga {saga_id} is of {of}, and the other definition is of {new.name}")


def _show_one(saga_id: str, verdict: Any, output: Format) -> None:
    from contracts.failure import Conflict

    if not verdict.judged:
        raise Conflict(
            f"saga {saga_id} has not ended, or its start is no longer kept: there is nothing to compare"
        )
    rows = [asdict(one) for one in verdict.diverging.get(saga_id, [])]
    if output is not Format.TABLE:
        write(rows if output is Format.JSONL else {"saga_id": saga_id, "divergences": rows}, output)
    elif rows:
        print(f"it goes another way from {_sentence(rows[0])}")
        print()
        write(rows, output, _COLUMNS)
    else:
        print("it goes the same way")


def _show_all(verdict: Any, output: Format) -> None:
    reasons: Sequence[dict[str, Any]] = [
        {"sagas": count, "example": example, **asdict(first)} for first, count, example in verdict.reasons()
    ]
    summary = {
        "judged": verdict.judged,
        "diverging": len(verdict.diverging),
        "under_way": verdict.under_way,
        "cut_off": verdict.cut_off,
    }
    if output is not Format.TABLE:
        sagas = {
            one: [asdict(found) for found in differences] for one, differences in verdict.diverging.items()
        }
        write({**summary, "reasons": list(reasons), "sagas": sagas}, output)
        return
    write(summary, output)
    if reasons:
        print()
        write(reasons, output, ("sagas", *_COLUMNS, "example"))
        say("saga what-if EXAMPLE tells one of them whole")


def _sentence(row: Mapping[str, Any]) -> str:
    step = "the saga" if row["step"] == "_saga" else row["step"]
    return f"#{row['order']}: {step}, {row['what']}: was {row['was']}, would be {row['would']}"
