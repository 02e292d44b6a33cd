"""`saga export`: a definition for another engine; sagas, for another environment, are `saga.cli.record`."""

from typing import Annotated

import typer

from saga.cli.output import say

app = typer.Typer(no_args_is_help=True, help="Definitions for other engines: argo. Sagas as JSON lines.")


@app.command()
def argo(
    definition: Annotated[str, typer.Argument(help="name or name@version of a shipped one, or a file.")],
    image: Annotated[str, typer.Option(help="Image of the pods.")] = "choreographed-sagas:latest",
    nats: Annotated[str, typer.Option(help="The bus, as the pods find it.")] = "nats://nats:4222",
    namespace: Annotated[str, typer.Option(help="On the bus, away from participants.")] = "argo",
    secret: Annotated[str, typer.Option(help="A Secret of further environment.")] = "saga",  # noqa: S107
) -> None:
    """The definition as an Argo Workflow, on stdout; what Argo cannot express, on stderr."""
    import yaml

    from saga.cli.exporting import exported
    from saga.export.options import Options

    options = Options(image=image, nats_url=nats, bus_namespace=namespace, secret=secret)
    made = exported(definition, options)
    print(yaml.safe_dump(made.manifest, sort_keys=False, width=120), end="")
    for warning in made.warnings:
        say(f"warning: {warning}")
