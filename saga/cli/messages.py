"""`saga tail|publish|emit|asyncapi`: what goes over the bus in NATS_URL, seen and said."""

from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    for command in (tail, publish, emit, asyncapi):
        app.command()(command)


def tail(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on for ever.")] = False,
    after: Annotated[int, typer.Option(help="Begin after this sequence.")] = 0,
    partition: Annotated[int | None, typer.Option(help="Only this one; all by default.")] = None,
) -> None:
    """Facts from the bus as JSON lines, as they are stated."""
    from saga.cli.session import run
    from saga.cli.system import tail as run_tail

    run(run_tail(partition, after, follow=follow))


def publish(
    file: Annotated[str, typer.Argument(help="A file of JSON lines, or -.")],
    definition: Annotated[
        str | None, typer.Option("--def", help="Each line is an input of this saga.")
    ] = None,
) -> None:
    """State facts on the bus: each line an envelope, or (with --def) the input of a saga to start."""
    from saga.cli.session import run
    from saga.cli.system import publish as run_publish

    run(run_publish(file, definition))


def emit(
    event: Annotated[str, typer.Argument(help="<domain>.<what happened>, as lead.qualified.")],
    key: Annotated[str, typer.Option(help="What it happened to.")],
    data: Annotated[str, typer.Option(help="JSON, @file, or - for stdin.")] = "{}",
    event_id: Annotated[str | None, typer.Option(help="The same once more tells nothing new.")] = None,
) -> None:
    """Tell an event on the bus, for triggers and for whoever else listens."""
    from saga.cli.remote import read_json
    from saga.cli.session import run
    from saga.cli.system import emit as run_emit

    run(run_emit(event, key, read_json(data), event_id))


def asyncapi(domain: Annotated[str, typer.Argument()]) -> None:
    """The AsyncAPI 3.0 document of a domain's services."""
    import json

    from events.application import asyncapi as document
    from events.settings import BusSettings
    from saga.domains import domain_actions

    contracts = [action.contract for action in domain_actions(domain)]
    print(json.dumps(document(contracts, BusSettings(), domain), indent=2))
