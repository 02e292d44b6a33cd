"""The command `saga`. Commands import what they need when they run, so that `saga --help` is fast.

Exit codes: 0 ok, 2 usage, 3 not found, 4 conflict, 6 unreachable, 7 timeout, 8 saga failed or audit violated,
9 saga compensated, 10 a comparison or check found something.
"""

import gc
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli import (
    actions,
    archive,
    audit,
    breaker,
    check,
    definitions,
    dlq,
    export,
    graph,
    intervene,
    log,
    policy,
    record,
    redrive,
    replay,
    rule,
    run,
    simulate,
    step,
    trail,
    trigger,
    webhook,
    whatif,
    why,
)
from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, say, write

app = typer.Typer(
    name="saga",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Choreographed sagas: start them, look into them, serve their steps.",
)
definitions_app = typer.Typer(no_args_is_help=True, help="The contracts: list, show, publish.")
schemas_app = typer.Typer(no_args_is_help=True, help="JSON Schemas of all contracts.")
intervene.add_to(app)
app.add_typer(dlq.app, name="dlq")
app.add_typer(breaker.app, name="breaker")
app.add_typer(actions.app, name="actions")
app.add_typer(policy.app, name="policy")
app.add_typer(trail.app, name="trail")
app.add_typer(trigger.app, name="trigger")
app.add_typer(webhook.app, name="webhook")
app.add_typer(rule.app, name="rule")
app.add_typer(step.app, name="step")
app.add_typer(export.app, name="export")
replay.add_to(app)
redrive.add_to(app)
app.add_typer(log.app, name="log")
graph.add_to(app)
why.add_to(app)
record.add_to(app, export.app)
archive.add_to(app)
check.add_to(app)
whatif.add_to(app)
audit.add_to(app)
simulate.add_to(app)
run.add_to(app)
app.add_typer(definitions.app, name="def")
app.add_typer(definitions_app, name="definitions")
app.add_typer(schemas_app, name="schemas")

_LOG_PORT = 8900
_YOUNG_OBJECTS = 50_000
_SAGA_COLUMNS = ("saga_id", "definition", "status", "started_at", "duration_ms")


def main() -> None:
    """The entry point: errors raised on purpose become one line and their exit code."""
    # Nearly all that a start makes stays: looking through it again and again takes a fifth of the start.
    gc.set_threshold(_YOUNG_OBJECTS)
    try:
        app()
    except Exception as error:
        exit_code = getattr(error, "exit_code", None)
        if exit_code is None:
            raise
        say(f"saga: {error}")
        sys.exit(exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(coroutine: Any, **options: Any) -> Any:
    from saga.cli.session import run

    return run(coroutine, **options)


@app.command()
def up(
    domain: Annotated[list[str] | None, typer.Argument(help="Domains to serve; all by default.")] = None,
    port: Annotated[int, typer.Option(help="Port of the HTTP API; 0 for a free one.")] = 8900,
    host: Annotated[str, typer.Option(help="Address of the HTTP API.")] = "127.0.0.1",
    data: Annotated[Path, typer.Option(help="Folder of all data.")] = Path(".saga"),
) -> None:
    """Everything in one process: server, all participants, saga log, API, sandboxes."""
    from saga.cli.system import up as run_up

    _run(run_up(domain or [], host, port, data))


@app.command()
def serve(
    what: Annotated[str, typer.Argument(help="A domain, `log` for the saga log, or `triggers`.")],
    port: Annotated[
        int | None,
        typer.Option(help="Port of the API: 8900 for the saga log; for a domain none unless given."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address of the API.")] = "127.0.0.1",
) -> None:
    """All participants of a domain, the saga log, or what fires triggers, in one process, on the server in NATS_URL."""
    from saga.cli.system import serve_domain, serve_log, serve_triggers

    if what == "log":
        _run(serve_log(host, _LOG_PORT if port is None else port))
    elif what == "triggers":
        _run(serve_triggers())
    else:
        _run(serve_domain(what, host, port))


@app.command()
def sandbox(
    name: Annotated[str, typer.Argument(help="mobile-money")],
    port: Annotated[int, typer.Option(help="0 for a free one.")] = 8901,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    data: Annotated[Path, typer.Option()] = Path(".saga"),
) -> None:
    """A sandbox that stands for the outside world, over HTTP."""
    from saga.cli.system import serve_sandbox_until_stopped

    _run(serve_sandbox_until_stopped(name, host, port, data))


@app.command()
def demo(
    domain: Annotated[str, typer.Argument(help="Which domain's sample to play.")] = "payments",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object, last on stdout.")] = False,
    data: Annotated[Path | None, typer.Option(help="Keep the data in this folder.")] = None,
) -> None:
    """Play a domain's sample through everything, and show what became of it."""
    from saga.cli.demo import demo as run_demo

    # The sample is full of failures that are meant; the answer tells what became of them.
    _run(run_demo(domain, as_json=json_, data=data), log_level="CRITICAL")


@app.command()
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


@app.command()
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


@app.command()
def health(output: Output = Format.YAML, api: Api = DEFAULT_API) -> None:
    """How the whole stands: bus, log, participants, breakers, dead letters. Exit code 8 unless all is well."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        found = remote.get("/api/v1/orchestration/health", accept=(503,))
    write(found, output)
    if found["status"] != "ok":
        raise typer.Exit(8)


@app.command()
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


@app.command("list")
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


@app.command()
def events(saga_id: str, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """A saga's facts: as sentences in a table, whole otherwise."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        if output is Format.TABLE:
            items = remote.get(f"/api/v1/sagas/{saga_id}/timeline")["items"]
            write(items, output, ("sequence", "offset_ms", "text"))
        else:
            write(remote.get(f"/api/v1/sagas/{saga_id}/facts")["items"], output)


@app.command()
def tail(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on for ever.")] = False,
    after: Annotated[int, typer.Option(help="Begin after this sequence.")] = 0,
    partition: Annotated[int | None, typer.Option(help="Only this one; all by default.")] = None,
) -> None:
    """Facts from the bus as JSON lines, as they are stated."""
    from saga.cli.system import tail as run_tail

    _run(run_tail(partition, after, follow=follow))


@app.command()
def publish(
    file: Annotated[str, typer.Argument(help="A file of JSON lines, or -.")],
    definition: Annotated[
        str | None, typer.Option("--def", help="Each line is an input of this saga.")
    ] = None,
) -> None:
    """State facts on the bus: each line an envelope, or (with --def) the input of a saga to start."""
    from saga.cli.system import publish as run_publish

    _run(run_publish(file, definition))


@app.command()
def emit(
    event: Annotated[str, typer.Argument(help="<domain>.<what happened>, as lead.qualified.")],
    key: Annotated[str, typer.Option(help="What it happened to.")],
    data: Annotated[str, typer.Option(help="JSON, @file, or - for stdin.")] = "{}",
    event_id: Annotated[str | None, typer.Option(help="The same once more tells nothing new.")] = None,
) -> None:
    """Tell an event on the bus, for triggers and for whoever else listens."""
    from saga.cli.remote import read_json
    from saga.cli.system import emit as run_emit

    _run(run_emit(event, key, read_json(data), event_id))


@app.command()
def asyncapi(domain: Annotated[str, typer.Argument()]) -> None:
    """The AsyncAPI 3.0 document of a domain's services."""
    import json

    from events.application import asyncapi as document
    from events.settings import BusSettings
    from saga.domains import domain_actions

    contracts = [action.contract for action in domain_actions(domain)]
    print(json.dumps(document(contracts, BusSettings(), domain), indent=2))


@app.command()
def doctor(output: Output = Format.TABLE) -> None:
    """Whether this machine and the server are fit: versions, server, packages."""
    from saga.cli.doctor import examine

    findings = _run(examine())
    write(findings, output, ("check", "ok", "found"))
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(6)


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


if __name__ == "__main__":
    main()
