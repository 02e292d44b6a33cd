"""`saga start|status|list|events|orchestrate|health`: sagas over the API."""

from typing import Annotated

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, say, write

_SAGA_COLUMNS = ("saga_id", "definition", "status", "started_at", "duration_ms")


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    for command in (start, orchestrate, health, status, events):
        app.command()(command)
    app.command("list")(list_)


def start(
    definition: Annotated[str, typer.Argument(help="name or name@version")],
    input_: Annotated[str, typer.Option("--input", help="JSON, @file, or - for stdin.")] = "{}",
    key: Annotated[str | None, typer.Option("--idempotency-key", help="A repeat starts nothing.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code tells it.")] = False,
    timeout_s: Annotated[float, typer.Option(help="How long to wait.")] = 60.0,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Start a saga."""
    from saga.cli.remote import Remote, read_json

    with Remote(api) as remote:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"definition": definition, "input": read_json(input_)}
        started = remote.post("/api/v1/sagas", body, headers)
        if not wait:
            write(started, output)
            return
        saga = remote.wait(started["saga_id"], timeout_s)
        write({name: saga[name] for name in _SAGA_COLUMNS}, output)
        raise typer.Exit({"completed": 0, "compensated": 9, "failed": 8, "waiting": 8}.get(saga["status"], 1))


def orchestrate(
    file: Annotated[str, typer.Argument(help="The workflow: JSON or YAML, or - for stdin.")],
    input_: Annotated[str, typer.Option("--input", help="JSON, @file, or - for stdin.")] = "{}",
    key: Annotated[str | None, typer.Option("--idempotency-key", help="A repeat starts nothing.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Run a workflow that is kept in no catalogue; `saga status` tells of it by its execution id."""
    from saga.cli.remote import Remote, read_document, read_json

    body = {"workflow": read_document(file), "input": read_json(input_)}
    with Remote(api) as remote:
        headers = {"Idempotency-Key": key} if key else {}
        write(remote.post("/api/v1/orchestrations", body, headers), output)


def health(output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """How the whole stands: bus, log, participants, breakers, dead letters. Exit code 8 unless all is well."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        found = remote.get("/api/v1/orchestration/health", accept=(503,))
    write(found, output)
    if found["status"] != "ok":
        raise typer.Exit(8)


def status(saga_id: str, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """One saga with its steps."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        saga = remote.get(f"/api/v1/sagas/{saga_id}")
    if output is not Format.TABLE:
        write(saga, output)
        return
    write({name: saga[name] for name in _SAGA_COLUMNS}, output)
    print()
    columns = ("name", "status", "attempt", "duration_ms", "failure")
    write(
        [{**step, "failure": (step["failure"] or {}).get("code")} for step in saga["steps"]], output, columns
    )


def list_(
    status: Annotated[list[str] | None, typer.Option("--status", help="May be given again.")] = None,
    definition: Annotated[str | None, typer.Option("--def", help="name or name@version")] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="Only where a step's failure has this code.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on from the page before.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Sagas, newest first."""
    from saga.cli.remote import Remote

    wanted = {
        "status": status or None, "definition": definition, "failure_code": code, "limit": limit, "cursor": cursor,
    }  # fmt: skip
    with Remote(api) as remote:
        page = remote.get(
            "/api/v1/sagas", {name: value for name, value in wanted.items() if value is not None}
        )
    if output is Format.JSON:
        write(page, output)
        return
    write(page["items"], output, _SAGA_COLUMNS)
    if page["next_cursor"]:
        say(f"more: --cursor {page['next_cursor']}")


def events(saga_id: str, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """A saga's facts: as sentences in a table, whole otherwise."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        if output is Format.TABLE:
            items = remote.get(f"/api/v1/sagas/{saga_id}/timeline")["items"]
            write(items, output, ("sequence", "offset_ms", "text"))
        else:
            write(remote.get(f"/api/v1/sagas/{saga_id}/facts")["items"], output)
