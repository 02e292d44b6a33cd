"""Options that many commands share."""

from typing import Annotated

import typer

from saga.cli.output import Format

Output = Annotated[Format, typer.Option("-o", "--output", help="How to write the answer.")]
Api = Annotated[str, typer.Option("--api", envvar="SAGA_API_URL", help="Base URL of the saga log.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
By = Annotated[str, typer.Option(envvar="USER", help="Who says so; it is kept.")]

DEFAULT_API = "http://127.0.0.1:8900"
DEFAULT_BY = "operator"
