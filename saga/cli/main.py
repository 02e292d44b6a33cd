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
    contracts,
    definitions,
    dlq,
    export,
    graph,
    intervene,
    log,
    messages,
    policy,
    record,
    redrive,
    replay,
    rule,
    run,
    sagas,
    simulate,
    step,
    trail,
    trigger,
    webhook,
    whatif,
    why,
)
from saga.cli.options import Output
from saga.cli.output import Format, say, write

app = typer.Typer(
    name="saga",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Choreographed sagas: start them, look into them, serve their steps.",
)
sagas.add_to(app)
messages.add_to(app)
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
app.add_typer(contracts.definitions_app, name="definitions")
app.add_typer(contracts.schemas_app, name="schemas")

_LOG_PORT = 8900
_YOUNG_OBJECTS = 50_000


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
def doctor(output: Output = Format.TABLE) -> None:
    """Whether this machine and the server are fit: versions, server, packages."""
    from saga.cli.doctor import examine

    findings = _run(examine())
    write(findings, output, ("check", "ok", "found"))
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(6)


if __name__ == "__main__":
    main()
