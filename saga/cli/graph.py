"""`saga graph`: a contract, the path of a saga, or the whole system, as Mermaid, DOT or SVG."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, Api
from saga.cli.output import say


class DiagramFormat(StrEnum):
    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


_SUFFIXES = {
    ".mmd": DiagramFormat.MERMAID,
    ".dot": DiagramFormat.DOT,
    ".gv": DiagramFormat.DOT,
    ".svg": DiagramFormat.SVG,
}

What = Annotated[
    str | None, typer.Argument(help="A definition (name, name@version, JSON or YAML file) or a saga's id.")
]
Topology = Annotated[
    bool,
    typer.Option("--topology", help="Who states what and who hears it, as the bus in NATS_URL knows it."),
]
Form = Annotated[
    DiagramFormat | None, typer.Option("--format", help="By default what --out ends in, or mermaid.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Write it to this file: .mmd, .dot or .svg.")]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command()(graph)


def graph(
    what: What = None, topology: Topology = False, form: Form = None, out: Out = None, api: Api = DEFAULT_API
) -> None:
    """Draw a contract, one saga's path with its times and its wave back, or the whole system."""
    from contracts.failure import InvalidContract
    from saga.cli.session import run
    from saga.diagrams.dot import write_dot
    from saga.diagrams.mermaid import write_mermaid
    from saga.diagrams.svg import write_svg

    if (what is None) != topology:
        raise InvalidContract("give a definition or a saga's id, or --topology")
    writers = {
        DiagramFormat.MERMAID: write_mermaid, DiagramFormat.DOT: write_dot, DiagramFormat.SVG: write_svg
    }  # fmt: skip
    chosen = form or _SUFFIXES.get(out.suffix if out else "", DiagramFormat.MERMAID)
    text = writers[chosen](run(_of_system()) if what is None else _of(what, api))
    if out is None:
        print(text, end="")
    else:
        out.write_text(text)
        say(f"{chosen} in {out}")


def _of(what: str, api: str) -> Any:
    from contracts.failure import NotFound, Unusable
    from saga.cli.recordings import is_file, read_definition, shipped_definition
    from saga.cli.remote import Remote
    from saga.diagrams.contract import contract_diagram

    if is_file(what):
        return contract_diagram(read_definition(Path(what)), _undoable())
    with Remote(api) as remote:
        try:
            return contract_diagram(_published(remote, what), _undoable())
        except NotFound:
            return _path(remote, what)
        except Unusable:
            # A contract that is shipped can be drawn without anything running.
            shipped = shipped_definition(what)
            if shipped is None:
                raise
            return contract_diagram(shipped, _undoable())


def _published(remote: Any, ref: str) -> Any:
    from contracts.definition import SagaDefinition

    return SagaDefinition.model_validate(remote.get(f"/api/v1/definitions/{ref.replace('@', '/')}"))


def _path(remote: Any, saga_id: str) -> Any:
    from contracts.facts import Fact, Recorded
    from contracts.failure import NotFound
    from saga.diagrams.path import path_diagram

    try:
        replayed = remote.get(f"/api/v1/sagas/{saga_id}/replay")
    except NotFound as error:
        raise NotFound(f"neither a definition nor a saga is named {saga_id!r}") from error
    facts = [Recorded(frame["sequence"], Fact.model_validate(frame["fact"])) for frame in replayed["frames"]]
    return path_diagram(_published(remote, replayed["definition"]), facts)


async def _of_system() -> Any:
    from events.bus import Bus
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.diagrams.topology import topology_diagram
    from saga.discovery import discover

    settings = BusSettings()
    async with await Bus.connect(settings) as bus, Definitions.open(bus) as definitions:
        known = definitions.all()
        found = await discover(bus, known)
    where = f" in {settings.namespace}" if settings.namespace else ""
    return topology_diagram(found.heard, known, found.present, f"who states what, and who hears it{where}")


def _undoable() -> set[str]:
    from contracts.actions import DOMAINS, domain_actions

    return {action.name for domain in DOMAINS for action in domain_actions(domain) if action.compensable}
