"""`saga definitions` and `saga schemas`: the contracts."""

from pathlib import Path
from typing import Annotated

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, say, write

definitions_app = typer.Typer(no_args_is_help=True, help="The contracts: list, show, publish.")
schemas_app = typer.Typer(no_args_is_help=True, help="JSON Schemas of all contracts.")


@definitions_app.command("list")
def list_definitions(output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """All definitions the bus knows."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        items = remote.get("/api/v1/definitions")["items"]
    write(items, output, ("name", "version", "steps", "description"))


@definitions_app.command("show")
def show_definition(
    ref: Annotated[str, typer.Argument(help="name or name@version")],
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """One definition, whole."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.get(f"/api/v1/definitions/{ref.replace('@', '/')}"), output)


@definitions_app.command("publish")
def publish_definition(
    file: Annotated[str, typer.Argument(help="JSON or YAML, or - for stdin.")],
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Make a new definition, or a new version, known."""
    from saga.cli.remote import Remote, read_document

    with Remote(api) as remote:
        write(remote.post("/api/v1/definitions", read_document(file)), output)


@definitions_app.command("customize")
def customize_definition(
    domain: Annotated[str, typer.Argument(help="Whose definitions are the base.")],
    file: Annotated[str, typer.Argument(help="The configuration: JSON or YAML, or - for stdin.")],
    publish: Annotated[bool, typer.Option("--publish", help="Make it known, too.")] = False,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """A definition of your own from a domain's configuration; what to think about goes to stderr."""
    from saga.cli.remote import Remote, read_document
    from saga.domains import domain_customized

    definition, warnings = domain_customized(domain, read_document(file))
    for warning in warnings:
        say(f"warning: {warning}")
    body = definition.model_dump(mode="json")
    if publish:
        with Remote(api) as remote:
            remote.post("/api/v1/definitions", body)
    write(body, output)


@schemas_app.command("export")
def export_schemas(
    folder: Annotated[Path, typer.Option(help="Where to.")] = Path("contracts/schemas_exported"),
) -> None:
    """Write the JSON Schema of every contract into a folder."""
    from contracts.schemas import export

    for path in export(folder):
        print(path)


@schemas_app.command("check")
def check_schemas(
    folder: Annotated[Path, typer.Option(help="The schemas that were promised.")] = Path(
        "contracts/schemas_exported"
    ),
) -> None:
    """Compare the contracts with exported schemas; fails if one has changed incompatibly."""
    from contracts.schemas import incompatibilities

    found = incompatibilities(folder)
    for problem in found:
        print(problem)
    if found:
        raise typer.Exit(10)
