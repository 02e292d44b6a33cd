"""`saga rule`: transformation rules by name and version, which steps of workflows use."""

from typing import Annotated

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, write

app = typer.Typer(no_args_is_help=True, help="Transformation rules: list, show, store, try.")

_PATH = "/api/v1/transformation-rules"
_COLUMNS = ("name", "version", "description", "stored_at")

Ref = Annotated[str, typer.Argument(help="name or name@version")]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Option(help="Only the versions of this one.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """All rules, in all versions."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.all(_PATH, {"name": name}), output, _COLUMNS)


@app.command()
def show(ref: Ref, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """One rule; without a version, the one that was stored last."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.get(f"{_PATH}/{ref.replace('@', '/')}"), output)


@app.command()
def store(
    file: Annotated[str, typer.Argument(help="The rule: JSON or YAML, or - for stdin.")],
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """A new rule, or a new version of one; a version stays as it is."""
    from saga.cli.remote import Remote, read_document

    with Remote(api) as remote:
        write(remote.post(_PATH, read_document(file)), output)


@app.command("try")
def try_(
    ref: Annotated[str, typer.Argument(help="name@version")],
    data: Annotated[str, typer.Option(help="Any JSON, @file, or - for stdin.")],
    output: Output = Format.JSON,
    api: Api = DEFAULT_API,
) -> None:
    """Put data through a rule, as the step would; nothing is kept."""
    from saga.cli.remote import Remote, read_value

    with Remote(api) as remote:
        write(remote.post(f"{_PATH}/{ref.replace('@', '/')}/try", {"data": read_value(data)}), output)
