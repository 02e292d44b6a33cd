"""`saga actions`: what can be done; with `--live`, who offers it on the bus now."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, write

app = typer.Typer(no_args_is_help=True, help="The registry of actions: list, show.")

_COLUMNS = ("name", "version", "category", "compensable", "description")
_LIVE_COLUMNS = ("name", "version", "category", "replicas", "versions", "same_types")
_PATH = "/api/v1/actions"

Module = Annotated[
    list[str] | None, typer.Option("--module", help="Import it first: the actions of your own. Repeatable.")
]
Live = Annotated[bool, typer.Option("--live", help="Ask the saga log who offers it now.")]


@app.command("list")
def list_(
    domain: Annotated[str, typer.Option(help="Only of this domain.")] = "",
    category: Annotated[str, typer.Option(help="Only of this category.")] = "",
    search: Annotated[str, typer.Option(help="Only with all these words.")] = "",
    live: Live = False,
    module: Module = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """All actions, by name."""
    if live:
        from saga.cli.remote import Remote

        with Remote(api) as remote:
            items = remote.get(_PATH, {"domain": domain, "category": category, "q": search})["items"]
        write(items, output, _LIVE_COLUMNS)
        return
    registry = _registry(module)
    found = registry.every(domain, category)
    write(
        [_row(contract) for contract in (registry.search(search, found) if search else found)],
        output,
        _COLUMNS,
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="domain.verb, or its last part.")],
    live: Live = False,
    module: Module = None,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """One action: what it takes and gives, what it needs, how it is used."""
    if live:
        from saga.cli.remote import Remote

        with Remote(api) as remote:
            write(remote.get(f"{_PATH}/{name}"), output)
        return
    contract = _registry(module).resolve(name)
    write(
        {
            **_row(contract),
            "description": contract.description,
            "reads_only": contract.reads_only,
            "permissions": list(contract.permissions),
            "emits": [event.event_name for event in contract.emits],
            "examples": [dict(example) for example in contract.examples],
            "input": contract.input.model_json_schema(),
            "output": contract.output.model_json_schema(mode="serialization"),
        },
        output,
    )


def import_modules(modules: list[str] | None) -> None:
    """Import modules from where the command is run. Raises NotFound."""
    from contracts.failure import NotFound

    sys.path.insert(0, "")
    for module in modules or []:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise NotFound(f"no module {module!r} to be imported from here: {error}") from error


def _registry(modules: list[str] | None) -> Any:
    from saga import registry

    import_modules(modules)
    return registry


def _row(contract: Any) -> dict[str, Any]:
    return {
        "name": contract.name,
        "domain": contract.domain,
        "version": contract.version,
        "category": contract.category,
        "compensable": contract.compensable,
        "description": contract.description.partition("\n")[0],
    }
