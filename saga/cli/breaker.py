"""`saga breaker`: the circuit breakers all replicas share, looked at and changed, with who and why."""

from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, write

app = typer.Typer(no_args_is_help=True, help="Circuit breakers: list, show, config, reset, delete.")

_PATH = "/api/v1/breakers"
_COLUMNS = ("name", "state", "failures", "probes", "retry_after_s", "opened_at", "configured", "shut")
_MOVES = ("revision", "time", "kind", "previous", "failures", "by", "reason")

Name = Annotated[str, typer.Argument(help="Name of the breaker, as operator.mpesa.")]


@app.command("list")
def list_(output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """All breakers in use."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.get(_PATH)["items"], output, _COLUMNS)


@app.command()
def show(name: Name, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """One breaker with its settings and its newest transitions."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        breaker = remote.get(_at(name))
    if output is not Format.TABLE:
        write(breaker, output)
        return
    moves = breaker.pop("transitions")
    write(breaker, output)
    print()
    write(moves, output, _MOVES)


@app.command()
def config(
    name: Name,
    reason: Reason,
    failure_threshold: Annotated[int | None, typer.Option(help="Failures in a row that open it.")] = None,
    reset_timeout_s: Annotated[float | None, typer.Option(help="How long it stays open.")] = None,
    half_open_max_calls: Annotated[int | None, typer.Option(help="Probes at once.")] = None,
    success_threshold: Annotated[int | None, typer.Option(help="Successes that close it.")] = None,
    probe_lease_s: Annotated[float | None, typer.Option(help="How long a silent probe counts.")] = None,
    by: By = DEFAULT_BY,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Change settings; what is not given stays as it is. Every replica goes by them at once."""
    from saga.cli.remote import Remote

    given = {
        "failure_threshold": failure_threshold,
        "reset_timeout_s": reset_timeout_s,
        "half_open_max_calls": half_open_max_calls,
        "success_threshold": success_threshold,
        "probe_lease_s": probe_lease_s,
    }
    changed = {setting: value for setting, value in given.items() if value is not None}
    if not changed:
        raise typer.BadParameter("give at least one setting to change: see --help")
    with Remote(api) as remote:
        present = remote.get(_at(name))["config"]
        body = {"config": {**present, **changed}, "by": by, "reason": reason}
        write(remote.put(f"{_at(name)}/config", body), output)


@app.command()
def reset(
    name: Name, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API
) -> None:
    """Close it, and forget its failures."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.post(f"{_at(name)}/reset", _words(by, reason)), output)


@app.command()
def delete(
    name: Name, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API
) -> None:
    """Strike a closed breaker off, with its settings; the next call through it makes it anew."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.delete(_at(name), _words(by, reason)), output)


def _at(name: str) -> str:
    from contracts.breakers import valid_breaker_name

    return f"{_PATH}/{valid_breaker_name(name)}"


def _words(by: str, reason: str) -> dict[str, Any]:
    return {"by": by, "reason": reason}
