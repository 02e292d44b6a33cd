"""`saga what-if`: recorded sagas under another definition, or with changed handlers."""

from typing import Annotated

import typer

from saga.cli.options import Output
from saga.cli.output import Format

DIVERGED = 10

SagaId = Annotated[str | None, typer.Argument(help="Which saga; without one, --all.")]
New = Annotated[
    str | None,
    typer.Option("--definition", help="The other definition: a JSON or YAML file, or a shipped one."),
]
Handlers = Annotated[
    list[str] | None,
    typer.Option("--handlers", help="A module, or a .py file, whose actions are done again. Repeatable."),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        help="A copy of the services' database, {name} for its name; else one is made, as at the start."
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every saga of that name, or with such an action.")]
Since = Annotated[str | None, typer.Option(help="Only sagas that began since: 24h, 30m, 7d, or an instant.")]
File = Annotated[str | None, typer.Option("--file", help="A recording or an archive, instead of the stream.")]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("what-if")(what_if)


def what_if(
    saga_id: SagaId = None, definition: New = None, handlers: Handlers = None, every: All = False,
    since: Since = None, file: File = None, database_url: DatabaseUrl = "", output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Would recorded sagas go another way under another definition, or with changed handlers? All the differences.

    What steps did stands in for what they would do, unless their action is among the handlers: those are run, and
    what they do is rolled back. Reads the bus in NATS_URL, or a file. Exit code 10 if a saga diverges.
    """
    from contracts.failure import InvalidContract
    from saga.cli import judging, verdicts
    from saga.cli.moments import moment_of
    from saga.cli.session import run

    if (saga_id is None) != every:
        raise InvalidContract("give one saga, or --all")
    if definition is None and not handlers:
        raise InvalidContract("say what is changed: --definition, --handlers, or both")
    if database_url and not handlers:
        raise InvalidContract("--database-url is for handlers: give --handlers, too")
    wanted = judging.Wanted(saga_id=saga_id, since=moment_of(since), file=file)
    verdict = run(judging.judged(wanted, definition, handlers or [], database_url))
    if saga_id is not None:
        verdicts.show_one(saga_id, verdict, output, run_again=bool(handlers))
    else:
        verdicts.show_all(verdict, output, run_again=bool(handlers))
    if verdict.diverging:
        raise typer.Exit(DIVERGED)
