"""`saga def template`: what workflows are made from."""

import json
from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, write

app = typer.Typer(no_args_is_help=True, help="Templates of workflows: list, show, use.")

_COLUMNS = ("name", "category", "title")

Name = Annotated[str, typer.Argument(help="Name of the template.")]


@app.command("list")
def list_(
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """All templates."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        write(remote.all(route("workflow-templates"), {"category": category}), output, _COLUMNS)


@app.command()
def show(name: Name, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """One template with its parameters (a JSON Schema) and an example of them."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        write(remote.get(route("workflow-templates", name)), output)


@app.command()
def use(
    name: Name,
    workflow: Annotated[str, typer.Argument(help="Name of the workflow to be made.")],
    reason: Reason,
    parameters: Annotated[str, typer.Option(help="JSON, @file, or - for stdin.")] = "{}",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="PARAMETER=VALUE, JSON or text; may be given again.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="May be given again.")] = None,
    activate: Annotated[bool, typer.Option("--activate", help="For new executions, at once.")] = False,
    by: By = DEFAULT_BY,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """Make a workflow of a template."""
    from saga.cli.remote import Remote, read_json
    from saga.remote.transport import route

    body = {
        "name": workflow,
        "parameters": read_json(parameters) | dict(map(_parameter, set_ or [])),
        "tags": tag or [],
        "activate": activate,
        "by": by,
        "reason": reason,
    }
    with Remote(api) as remote:
        write(remote.post(route("workflow-templates", name, "instantiate"), body), output)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r}: expected PARAMETER=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
