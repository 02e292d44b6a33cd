"""`saga policy`: how an action is run, and who says so."""

from pathlib import Path
from typing import Annotated

import typer

from saga.cli.actions import Module, import_modules
from saga.cli.options import Output
from saga.cli.output import Format, write

app = typer.Typer(no_args_is_help=True, help="Policies: explain.")

_COLUMNS = ("name", "value", "level", "source")


@app.callback()
def policies() -> None:
    """Policies of actions, domains and steps."""


@app.command()
def explain(
    action: Annotated[str, typer.Argument(help="domain.verb, or its last part.")],
    definition: Annotated[
        str, typer.Option("--def", help="A definition: a file, module:name, or the name of a shipped one.")
    ] = "",
    step: Annotated[str, typer.Option(help="Its step of this name.")] = "",
    file: Annotated[
        Path | None, typer.Option(envvar="SAGA_POLICIES", help="The operator's policies.")
    ] = None,
    module: Module = None,
    output: Output = Format.TABLE,
) -> None:
    """Every value of the policy that counts, and where it comes from: step, action, domain or default."""
    import_modules(module)
    from contracts.failure import InvalidContract
    from saga import registry
    from saga.policies import policy_of, read_policies

    contract = registry.resolve(action)
    used = None
    if definition or step:
        if not (definition and step):
            raise InvalidContract("a step is one of a definition: give --def and --step")
        from saga.cli.running import find_definition

        used = find_definition(definition).step(step)
        if used.action != contract.name:
            raise InvalidContract(f"step {step} is one of {used.action}, not of {contract.name}")
    settings = policy_of(contract, read_policies(file), used).settings
    write([setting.model_dump(mode="json") for setting in settings], output, _COLUMNS)
