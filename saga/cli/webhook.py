"""`saga webhook`: whom steps tell by webhook, what was told, and telling it again."""

from typing import Annotated

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, write

app = typer.Typer(
    no_args_is_help=True,
    help="Endpoints of outgoing webhooks: list, show, create, update, delete; deliveries, delivery, redeliver.",
)

_ENDPOINTS, _DELIVERIES = "/api/v1/webhooks", "/api/v1/webhook-deliveries"
_COLUMNS = ("name", "url", "enabled", "event_types", "secrets", "updated_at")
_TOLD = ("webhook_id", "created_at", "type", "endpoint", "status", "attempts", "saga_id")
_ATTEMPTS = ("at", "duration_ms", "status", "error", "redelivery")

Name = Annotated[str, typer.Argument(help="Name of the endpoint.")]
File = Annotated[str, typer.Argument(help="The endpoint: JSON or YAML, or - for stdin.")]
WebhookId = Annotated[str, typer.Argument(help="Of the delivery.")]


@app.command("list")
def list_(output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """All endpoints."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.all(_ENDPOINTS), output, _COLUMNS)


@app.command()
def show(name: Name, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """One endpoint."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.get(f"{_ENDPOINTS}/{name}"), output)


@app.command()
def create(file: File, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """A new endpoint."""
    from saga.cli.remote import Remote, read_document

    with Remote(api) as remote:
        write(remote.post(_ENDPOINTS, read_document(file)), output)


@app.command()
def update(file: File, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """All settings of the endpoint of that name, from now on; also for retries under way."""
    from saga.cli.remote import Remote, read_document

    settings = read_document(file)
    name = settings.pop("name", "")
    with Remote(api) as remote:
        write(remote.put(f"{_ENDPOINTS}/{name}", settings), output)


@app.command()
def delete(name: Name, output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """Take an endpoint away; its history stays."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.delete(f"{_ENDPOINTS}/{name}", {}), output)


@app.command()
def deliveries(
    endpoint: Annotated[str | None, typer.Option(help="Only to this endpoint.")] = None,
    saga_id: Annotated[str | None, typer.Option(help="Only of this saga.")] = None,
    delivered: Annotated[
        bool | None, typer.Option("--delivered/--undelivered", help="Only these; both by default.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """What was told, newest first."""
    from saga.cli.remote import Remote

    wanted = {"endpoint": endpoint, "saga_id": saga_id, "delivered": delivered, "limit": limit}
    query = {name: value for name, value in wanted.items() if value is not None}
    with Remote(api) as remote:
        write(remote.get(_DELIVERIES, query)["items"], output, _TOLD)


@app.command()
def delivery(webhook_id: WebhookId, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """One delivery with its attempts."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        _write_story(remote.get(f"{_DELIVERIES}/{webhook_id}"), output)


@app.command()
def redeliver(webhook_id: WebhookId, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """Tell it once more, at once; exit code 8 if it was not taken."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        story = remote.post(f"{_DELIVERIES}/{webhook_id}/redeliver", {})
    _write_story(story, output)
    if story["status"] != "delivered":
        raise typer.Exit(8)


def _write_story(story: dict[str, object], output: Format) -> None:
    if output is not Format.TABLE:
        write(story, output)
        return
    history = story.pop("history")
    write(story, output)
    print()
    write(history if isinstance(history, list) else [], output, _ATTEMPTS)
