"""`saga check`: definitions, workflows and triggers judged before anybody starts a saga of them."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.output import say

FOUND = 10
_COLORS = {"error": "red", "warning": "yellow", "note": "cyan"}


class CheckFormat(StrEnum):
    HUMAN = "human"
    JSON = "json"
    SARIF = "sarif"


Paths = Annotated[
    list[Path] | None, typer.Argument(help="Files, and folders of them; without any, all that is shipped.")
]
Live = Annotated[
    bool, typer.Option("--live", help="Also against the bus in NATS_URL: is it served, does it fit?")
]
Schemas = Annotated[
    Path | None, typer.Option(help="Schemas that were promised; contracts/schemas_exported, if it is there.")
]
Form = Annotated[
    CheckFormat, typer.Option("-f", "--format", help="For people, programs, or tools that know SARIF.")
]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command()(check)


def check(
    paths: Paths = None, live: Live = False, schemas: Schemas = None, form: Form = CheckFormat.HUMAN
) -> None:
    """Find what cannot work, or will not: contracts, dead steps, budgets, compensations, cycles, who is missing.

    Exit code 10 if there is anything but notes.
    """
    from saga.check.findings import is_grave

    findings = _findings(paths or [], live=live, schemas=schemas)
    match form:
        case CheckFormat.HUMAN:
            _show(findings)
        case CheckFormat.JSON:
            print(json.dumps({"findings": [finding.as_dict() for finding in findings]}))
        case CheckFormat.SARIF:
            from importlib.metadata import version

            from saga.check.sarif import write_sarif

            print(json.dumps(write_sarif(findings, version("choreographed-sagas")), indent=2))
    if is_grave(findings):
        raise typer.Exit(FOUND)


def _findings(paths: Sequence[Path], *, live: bool, schemas: Path | None) -> list[Any]:
    from dataclasses import replace

    from contracts.actions import DOMAINS, domain_actions
    from contracts.subjects import Subjects
    from events.clock import utc_now
    from saga.check.documents import Documents, Lines, read_documents
    from saga.check.events import hears_any, stated_events
    from saga.check.findings import Finding, Level, Placed
    from saga.check.live import check_against, check_offered, check_published
    from saga.check.one import check_one
    from saga.check.together import check_together
    from saga.check.triggers import check_trigger
    from saga.domains import shipped_definitions

    if paths:
        documents = read_documents(paths)
    else:
        documents = Documents(definitions=[Placed(one, one.ref) for one in shipped_definitions()])
    undoable = frozenset(
        action.name for domain in DOMAINS for action in domain_actions(domain) if action.compensable
    )
    found = list(documents.findings)
    for placed in documents.definitions:
        place = placed.place

        def at(rule: str, pointer: str, detail: str, place: str = place) -> Finding:
            return Finding(rule, place, pointer, detail)

        found += check_one(placed.content, undoable, at)
    found += _promises(schemas)
    definitions, triggers = list(documents.definitions), list(documents.triggers)
    hears = hears_any((), Subjects().events_root)
    if live:
        from saga.cli.session import run

        bus = run(_read_bus())
        found += check_published(bus.published, bus.discovered)
        found += check_offered(bus.offers)
        found += check_against(documents.definitions if paths else [], bus.published)
        # What is to be published stands for what is.
        refs, names = {one.content.ref for one in definitions}, {one.content.name for one in triggers}
        definitions += [Placed(one, one.ref) for one in bus.published if one.ref not in refs]
        triggers += [
            Placed(one, f"trigger {one.name}") for one in bus.events.triggers if one.name not in names
        ]
        hears = hears_any(bus.events.filters, bus.events_root)
    for heard in triggers:
        found += check_trigger(heard, [one.content for one in definitions], utc_now())
    found += check_together(definitions, triggers, stated_events(), hears)
    order = list(Level)
    placed_at = [replace(one, line=documents.lines.get(one.place, Lines()).of(one.pointer)) for one in found]
    return sorted(placed_at, key=lambda one: (order.index(one.level), one.place, one.line, one.pointer))


def _promises(schemas: Path | None) -> list[Any]:
    from contracts.schemas import incompatibilities
    from saga.check.findings import Finding

    folder = schemas or Path("contracts/schemas_exported")
    if schemas is None and not folder.is_dir():
        return []
    return [
        Finding("contract.incompatible", str(folder), "", problem) for problem in incompatibilities(folder)
    ]


async def _read_bus() -> Any:
    from events.bus import Bus
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.check.live import read_bus

    async with await Bus.connect(BusSettings()) as bus, Definitions.open(bus) as definitions:
        return await read_bus(bus, definitions.all())


def _show(findings: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    for one in findings:
        where = f"{one.place}:{one.line}" if one.line else one.place
        color = _COLORS[one.level]
        pointer = f" [dim]{escape(one.pointer)}[/dim]" if one.pointer else ""
        console.print(
            f"[bold]{escape(where)}[/bold]{pointer}: [{color}]{one.level}[/{color}] {one.rule}: {escape(one.detail)}"
        )
    counts = {level: sum(one.level == level for one in findings) for level in _COLORS}
    say(", ".join(f"{count} {level}s" for level, count in counts.items()))
