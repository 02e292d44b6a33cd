"""`saga run`: a definition in one process, from its start to its end."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from saga.cli.options import Output
from saga.cli.output import Format, write

_EXIT = {"success": 0, "partial": 8, "failed": 8, "compensated": 9}
_COLUMNS = ("name", "action", "status", "attempts", "duration_ms", "error")


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def run(
        definition: Annotated[
            str, typer.Argument(help="A file (JSON or YAML), module:name, or the name of a shipped one.")
        ],
        input_: Annotated[
            str, typer.Option("--input", help="A file (JSON or YAML), JSON text, or - for stdin.")
        ] = "{}",
        user_id: Annotated[str, typer.Option(help="Whom it is run for.")] = "",
        timeout_s: Annotated[float, typer.Option(help="How long to wait for its end.")] = 300.0,
        data: Annotated[Path | None, typer.Option(help="Keep the data in this folder.")] = None,
        output: Output = Format.TABLE,
    ) -> None:
        """Run a saga here: an embedded server, the participants it needs, and its facts as they were stated."""
        from saga.cli import running
        from saga.cli.session import run as run_coroutine

        given = running.read_input(input_)
        result = run_coroutine(
            running.run(definition, given, user_id=user_id, data=data, timeout_s=timeout_s)
        )
        shown = running.shown(result)
        if output is Format.TABLE:
            steps = [{**step, "error": (step["error"] or {}).get("code")} for step in shown["steps"].values()]
            write({name: shown[name] for name in ("saga_id", "definition", "status", "duration_ms")}, output)
            print()
            write(steps, output, _COLUMNS)
        else:
            write(shown, output)
        sys.stdout.flush()
        raise typer.Exit(_EXIT[shown["status"]])
