"""`saga def`, what is about versions: what they are, what tells them apart, which of them new executions get."""

from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, write

_VERSIONS = ("version", "weight", "created_at", "by", "note", "content_hash")
_DIFFERENCES = ("kind", "pointer", "before", "after")

Name = Annotated[str, typer.Argument(help="Name of the workflow.")]


def add_to(app: typer.Typer) -> None:
    """Make the commands known."""
    for command in (versions, diff, status, activate, split, rollback, tag, restore):
        app.command()(command)


def versions(name: Name, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """The versions of a workflow, the newest first; `weight` among the active ones."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        write(remote.get(route("workflows", name, "versions"))["items"], output, _VERSIONS)


def diff(
    name: Name,
    from_: Annotated[int | None, typer.Argument(metavar="FROM", help="The one before TO.")] = None,
    to: Annotated[int | None, typer.Argument(help="The newest one.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """What is different between two versions, by JSON pointers."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        found = remote.get(route("workflows", name, "diff"), {"from": from_, "to": to})
    write(found if output is not Format.TABLE else found["items"], output, _DIFFERENCES)


def status(
    name: Name,
    status: Annotated[str, typer.Argument(help="DRAFT, ACTIVE, PAUSED or ARCHIVED.")],
    reason: Reason,
    by: By = DEFAULT_BY,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """Whether new executions may start: only of what is ACTIVE. What runs, goes on."""
    _put(name, "status", {"status": status.upper(), "by": by, "reason": reason}, output, api)


def activate(
    name: Name,
    reason: Reason,
    version: Annotated[int | None, typer.Argument(help="The newest one, unless told otherwise.")] = None,
    by: By = DEFAULT_BY,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """One version for all new executions; a draft becomes ACTIVE."""
    _post(name, "activate", {"version": version, "by": by, "reason": reason}, output, api)


def split(
    name: Name,
    shares: Annotated[list[str], typer.Argument(help="VERSION=WEIGHT, as in 1=90 2=10.")],
    reason: Reason,
    by: By = DEFAULT_BY,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """Several versions for new executions, by weight."""
    wanted = [_share(share) for share in shares]
    _put(name, "split", {"shares": wanted, "by": by, "reason": reason}, output, api)


def rollback(
    name: Name, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.YAML, api: Api = DEFAULT_API
) -> None:
    """What was active before, for all new executions."""
    _post(name, "rollback", {"by": by, "reason": reason}, output, api)


def tag(
    name: Name,
    reason: Reason,
    tags: Annotated[list[str] | None, typer.Argument(help="All that it is to have.")] = None,
    by: By = DEFAULT_BY,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """Other tags than it has."""
    _put(name, "tags", {"tags": tags or [], "by": by, "reason": reason}, output, api)


def restore(
    name: Name, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.YAML, api: Api = DEFAULT_API
) -> None:
    """Bring a deleted workflow back, archived."""
    _post(name, "restore", {"by": by, "reason": reason}, output, api)


def _share(text: str) -> dict[str, int]:
    version, equals, weight = text.partition("=")
    if not (version.isdecimal() and weight.isdecimal() and equals):
        raise typer.BadParameter(f"{text!r}: expected VERSION=WEIGHT, as in 1=90")
    return {"version": int(version), "weight": int(weight)}


def _put(name: str, what: str, body: dict[str, Any], output: Format, api: str) -> None:
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        write(remote.put(route("workflows", name, what), body), output)


def _post(name: str, what: str, body: dict[str, Any], output: Format, api: str) -> None:
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        write(remote.post(route("workflows", name, what), body), output)
