"""`saga trigger`: what starts workflows, looked at, changed, switched on and off, fired by hand."""

from typing import Annotated

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, write

app = typer.Typer(
    no_args_is_help=True,
    help="Triggers: list, show, create, update, enable, disable, fire, history, delete.",
)

_PATH = "/api/v1/triggers"
_COLUMNS = ("name", "kind", "workflow", "enabled", "updated_at", "by")
_FIRINGS = ("at", "outcome", "event_id", "saga_id", "definition", "code", "reason", "by")

Name = Annotated[str, typer.Argument(help="Name of the trigger.")]
File = Annotated[str, typer.Argument(help="The trigger: JSON or YAML, or - for stdin.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Option(help="MANUAL, API_CALL, EVENT, WEBHOOK or SCHEDULE.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Only those that start it.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """All triggers."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        items = remote.all(_PATH, {"kind": kind, "workflow": workflow})
    if output is not Format.TABLE:
        write(items, output)
        return
    write([{**item, **item["trigger"]} for item in items], output, _COLUMNS)


@app.command()
def show(name: Name, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """One trigger, whole; of a schedule also its next time."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.get(f"{_PATH}/{name}"), output)


@app.command()
def create(
    file: File, by: By = DEFAULT_BY, reason: Why = "", output: Output = Format.YAML, api: Api = DEFAULT_API
) -> None:
    """A new trigger; in force at once, unless it says `enabled: false`."""
    from saga.cli.remote import Remote, read_document

    with Remote(api) as remote:
        write(remote.post(_at("", by, reason), read_document(file)), output)


@app.command()
def update(
    file: File,
    by: By = DEFAULT_BY,
    reason: Why = "",
    if_match: Annotated[str, typer.Option(help="Only if it is as it was read: its ETag.")] = "*",
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """The trigger of that name as the file has it, from now on."""
    from saga.cli.remote import Remote, read_document

    document = read_document(file)
    with Remote(api) as remote:
        path = _at(f"/{document.get('name', '')}", by, reason)
        write(remote.put(path, document, {"If-Match": if_match}), output)


@app.command()
def enable(
    name: Name, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.YAML, api: Api = DEFAULT_API
) -> None:
    """Switch it on."""
    _switch(name, "enable", by, reason, output, api)


@app.command()
def disable(
    name: Name, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.YAML, api: Api = DEFAULT_API
) -> None:
    """Switch it off: what happens while it is off starts nothing later."""
    _switch(name, "disable", by, reason, output, api)


@app.command()
def fire(
    name: Name,
    data: Annotated[str, typer.Option(help="The event's data: JSON, @file, or - for stdin.")] = "{}",
    event_id: Annotated[str | None, typer.Option(help="The same once more starts nothing.")] = None,
    by: By = DEFAULT_BY,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Fire it by hand."""
    from saga.cli.remote import Remote, read_value

    body = {"by": by, "data": read_value(data), "event_id": event_id}
    with Remote(api) as remote:
        write(remote.post(f"{_PATH}/{name}/fire", body), output)


@app.command()
def history(
    name: Name,
    outcome: Annotated[str | None, typer.Option(help="started, repeated, refused or missed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """What became of its newest firings."""
    from saga.cli.remote import Remote

    query = {"limit": limit} | ({"outcome": outcome} if outcome else {})
    with Remote(api) as remote:
        write(remote.get(f"{_PATH}/{name}/firings", query)["items"], output, _FIRINGS)


@app.command()
def delete(name: Name, reason: Reason, by: By = DEFAULT_BY, api: Api = DEFAULT_API) -> None:
    """Take it out of force; its history stays."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        remote.delete(f"{_PATH}/{name}", {"by": by, "reason": reason}, {"If-Match": "*"})


def _switch(name: str, how: str, by: str, reason: str, output: Format, api: str) -> None:
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.post(f"{_PATH}/{name}/{how}", {"by": by, "reason": reason}), output)


def _at(tail: str, by: str, reason: str) -> str:
    from urllib.parse import urlencode

    return f"{_PATH}{tail}?{urlencode({'by': by, 'reason': reason})}"
