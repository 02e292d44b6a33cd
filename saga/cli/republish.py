"""`saga replay --into`: recorded facts played into an isolated namespace, where local services react to them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.output import Format, progress, say, write

DIVERGED = 10
_PANEL = "Into another namespace, for the services that are there"
_SAGAS = ("saga_id", "status", "played", "left", "first")
_DIFFERENCES = ("sequence", "step", "what", "was", "now")

Into = Annotated[
    str | None,
    typer.Option("--into", rich_help_panel=_PANEL, help="Play the facts into this namespace."),
]
To = Annotated[
    str | None,
    typer.Option("--to", rich_help_panel=_PANEL, help="On this server, not on the one that is read."),
]
All = Annotated[bool, typer.Option("--all", rich_help_panel=_PANEL, help="Every saga.")]
OfDefinition = Annotated[
    str | None,
    typer.Option("--def", rich_help_panel=_PANEL, help="Only sagas of name or name@version."),
]
Since = Annotated[
    str | None,
    typer.Option(rich_help_panel=_PANEL, help="Only those that began since: 24h, 30m, 7d, or an instant."),
]
Before = Annotated[
    str | None,
    typer.Option(rich_help_panel=_PANEL, help="Only those that began before."),
]
Speed = Annotated[
    str,
    typer.Option(rich_help_panel=_PANEL, help="original, max, or how many times as fast: 10"),
]
PatienceS = Annotated[
    float,
    typer.Option("--patience-s", min=0, rich_help_panel=_PANEL, help="How long a service may be silent."),
]
Effects = Annotated[
    bool,
    typer.Option("--effects", rich_help_panel=_PANEL, help="Run handlers; without it sagas run dry."),
]
LetOut = Annotated[
    list[str] | None,
    typer.Option(rich_help_panel=_PANEL, help="A breaker that is not kept open, or *; may be given again."),
]
Again = Annotated[
    bool,
    typer.Option("--again", rich_help_panel=_PANEL, help="Sagas that are there once more, under new ids."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which sagas, from where."""

    saga_id: str | None
    file: str | None
    definition_file: Path | None
    every: bool
    definition: str | None
    since: str | None
    before: str | None

    @property
    def filtered(self) -> bool:
        return any((self.definition, self.since, self.before))


def play_into(namespace: str, to: str | None, choice: Choice, wish: Any, output: Format) -> None:
    """Play the sagas that are chosen, and tell what came of them. Exit code 10 if one diverges."""
    from contracts.failure import InvalidContract
    from saga.cli.session import run

    chosen = sum((choice.saga_id is not None, choice.filtered, choice.every))
    if chosen > 1 or (chosen == 0 and choice.file is None):
        raise InvalidContract("say which sagas: one by its id, some by --def, --since and --before, or --all")
    try:
        report = run(_play(namespace, to, choice, wish))
    except KeyboardInterrupt:
        say("stopped; the same command goes on with what is missing")
        raise
    if not report.served:
        say(f"nobody serves anything in {namespace}: every fact was played")
    _show(report, output)
    if any(told.diverged for told in report.sagas):
        raise typer.Exit(DIVERGED)


async def _play(namespace: str, to: str | None, choice: Choice, wish: Any) -> Any:
    from events.bus import Bus
    from events.settings import BusSettings
    from saga.republish.playing import republish
    from saga.republish.space import target_of

    settings = BusSettings()
    async with await Bus.connect(target_of(settings, namespace, to)) as target:
        recording = _of_file(choice) if choice.file else await _of_stream(settings, target, choice)
        with progress("playing") as tell:
            return await republish(target, recording, wish, tell=tell)


def _of_file(choice: Choice) -> Any:
    from contracts.facts import STARTED_KEY
    from saga.cli.recordings import definitions_at_hand, read_file
    from saga.recording import Recording

    recording = read_file(str(choice.file), choice.saga_id)
    known, chosen = definitions_at_hand(choice.definition_file), _chosen(choice)
    if choice.saga_id is not None or not (choice.filtered or choice.every):
        facts = recording.facts(choice.saga_id)
        sagas = {facts[0].fact.sagaid: facts}
    else:
        sagas = {
            saga_id: facts
            for saga_id, facts in recording.sagas.items()
            if chosen.starts(facts[0].fact) or (choice.every and facts[0].fact.key != STARTED_KEY)
        }
    refs = {facts[0].fact.definition for facts in sagas.values()} - recording.definitions.keys()
    more = {ref: definition for ref in refs if (definition := known(ref)) is not None}
    return Recording(definitions=recording.definitions | more, sagas=sagas)


async def _of_stream(settings: Any, target: Any, choice: Choice) -> Any:
    from events.bus import Bus
    from events.definitions import Definitions
    from saga.exporting import stories
    from saga.recording import Recording
    from saga.republish.space import require_other

    async with await Bus.connect(settings) as source, Definitions.open(source) as definitions:
        await require_other(source, target)
        sagas = {saga_id: facts async for saga_id, facts in stories(source, _chosen(choice))}
        refs = {facts[0].fact.definition for facts in sagas.values()}
        known = {ref: definition for ref in refs if (definition := await definitions.fetch(ref)) is not None}
        return Recording(definitions=known, sagas=sagas)


def _chosen(choice: Choice) -> Any:
    from saga.cli.moments import moment_of
    from saga.exporting import Chosen

    return Chosen(
        saga_ids=(choice.saga_id,) if choice.saga_id else (),
        definition=choice.definition,
        since=moment_of(choice.since),
        before=moment_of(choice.before),
    )


def _show(report: Any, output: Format) -> None:
    from saga.republish.player import Status

    sagas = [asdict(told) for told in report.sagas]
    summary = {"sagas": len(sagas)} | {status.value: report.count(status) for status in Status}
    summary["facts"] = sum(told.played for told in report.sagas)
    if output is Format.JSONL:
        write(sagas, output)
    elif output is not Format.TABLE:
        write({"summary": summary, "served": list(report.served), "sagas": sagas}, output)
    else:
        write({name: number for name, number in summary.items() if number or name == "sagas"}, output)
        _show_sagas(sagas)


def _show_sagas(sagas: list[dict[str, Any]]) -> None:
    diverging = [told for told in sagas if told["status"] == "diverged"]
    if len(sagas) == 1 and diverging:
        (one,) = diverging
        print()
        write(one["differences"], Format.TABLE, _DIFFERENCES)
        for name in ("refused", "withheld"):
            if one[name]:
                print(f"{name}: {', '.join(one[name])}")
    elif diverging:
        print()
        rows = [told | {"left": sum(told["left"].values()), "first": _first(told)} for told in diverging]
        write(rows, Format.TABLE, _SAGAS)


def _first(told: Mapping[str, Any]) -> str:
    if not told["differences"]:
        return f"refused: {told['refused'][0]}"
    first = told["differences"][0]
    return f"#{first['sequence']} {first['step']}, {first['what']}: was {first['was']}, is {first['now']}"
