"""`saga def`: the workflows of the catalogue, looked at, kept, taken out and brought in, with who and why."""

from typing import Annotated, Any

import typer

from saga.cli import templates, versions
from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, say, write

app = typer.Typer(
    no_args_is_help=True,
    help="Workflows: list, show, metrics, create, update, validate, versions, diff, status, activate, split, rollback,"
    " tag, delete, restore, export, import, template.",
)
versions.add_to(app)
app.add_typer(templates.app, name="template")

_PATH = "/api/v1/workflows"
_METRICS = (
    "version", "weight", "executions", "RUNNING", "COMPLETED", "FAILED", "COMPENSATED", "CANCELLED", "success_rate",
    "retries", "compensations", "p50", "p95", "p99",
)  # fmt: skip
_COLUMNS = ("name", "status", "newest_version", "active", "category", "tags", "updated_at", "description")

Name = Annotated[str, typer.Argument(help="Name of the workflow.")]
File = Annotated[str, typer.Argument(help="The workflow: JSON or YAML, or - for stdin.")]
Files = Annotated[str, typer.Argument(help="Workflows: a stream of YAML, a list, or one; or - for stdin.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
Activate = Annotated[bool, typer.Option("--activate", help="For all new executions, at once.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be given again.")]
Category = Annotated[str | None, typer.Option(help="Only of this category.")]
WithTags = Annotated[list[str] | None, typer.Option("--tag", help="Only with this tag; may be given again.")]
Prefix = Annotated[str | None, typer.Option(help="Only those whose name begins so.")]


@app.command("list")
def list_(
    status: Annotated[list[str] | None, typer.Option(help="DRAFT, ACTIVE, PAUSED, ARCHIVED.")] = None,
    category: Category = None,
    tag: WithTags = None,
    prefix: Prefix = None,
    search: Annotated[str | None, typer.Option(help="A part of the name or description.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted, too.")] = False,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """All workflows, by name."""
    from saga.cli.remote import Remote

    wanted = _filters(category, tag, prefix) | {"status": status, "q": search, "include_deleted": deleted}
    with Remote(api) as remote:
        write(remote.all(_PATH, wanted), output, _COLUMNS)


@app.command()
def metrics(
    name: Name,
    after: Annotated[str | None, typer.Option(help="Of executions started then or later (RFC 3339).")] = None,
    before: Annotated[str | None, typer.Option(help="Of executions started earlier.")] = None,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """How its executions fare: outcomes and durations by version; in YAML or JSON also by step."""
    from saga.cli.remote import Remote

    wanted = {"started_after": after, "started_before": before}
    query = {key: value for key, value in wanted.items() if value is not None}
    with Remote(api) as remote:
        found = remote.get(f"{_PATH}/{name}/metrics", query)
    if output is not Format.TABLE:
        write(found, output)
        return
    rows = [{"version": "all", **found["total"]}, *found["versions"]]
    write([{**row, **row["by_status"], **row["duration_ms"]} for row in rows], output, _METRICS)


@app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option(help="Another one than the newest.")] = None,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """One workflow with its document and newest changes."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        write(remote.get(route("workflows", name), {"version": version}), output)


@app.command()
def create(
    file: File,
    activate: Activate = False,
    tag: Tags = None,
    by: By = DEFAULT_BY,
    reason: Why = "",
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """A new workflow; a draft, unless it is activated."""
    from saga.cli.remote import Remote, read_workflows

    query = {"by": by, "reason": reason, "tag": tag, "activate": activate}
    with Remote(api) as remote:
        write(remote.post(_PATH, _one(read_workflows(file)), query=query), output)


@app.command()
def update(
    file: File,
    activate: Activate = False,
    by: By = DEFAULT_BY,
    reason: Why = "",
    if_match: Annotated[str, typer.Option(help="Only if it is as it was read: its ETag.")] = "*",
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """A further version of the workflow of that name; nothing, if it is the same as the newest."""
    from saga.cli.remote import Remote, read_workflows
    from saga.remote.transport import route

    document = _one(read_workflows(file))
    query = {"by": by, "reason": reason, "activate": activate}
    with Remote(api) as remote:
        path = route("workflows", str(document.get("name", "")))
        write(remote.put(path, document, {"If-Match": if_match}, query=query), output)


@app.command()
def validate(file: Files, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """Say everything that is wrong with workflows; nothing is kept."""
    from saga.cli.remote import Remote, read_workflows

    with Remote(api) as remote:
        found = remote.post(f"{_PATH}/validate", read_workflows(file))["items"]
    write(found, output, ("name", "definitions"))


@app.command()
def delete(
    name: Name,
    reason: Reason,
    force: Annotated[bool, typer.Option("--force", help="Though executions run; they go on.")] = False,
    by: By = DEFAULT_BY,
    api: Api = DEFAULT_API,
) -> None:
    """Take it out of sight; `restore` brings it back."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route

    with Remote(api) as remote:
        query = {"by": by, "reason": reason, "force": force}
        remote.delete(route("workflows", name), query, {"If-Match": "*"})


@app.command("export")
def export_(
    name: Annotated[str | None, typer.Argument(help="One workflow; all of them, if none is named.")] = None,
    version: Annotated[int | None, typer.Option(help="Another one than the newest; of one workflow.")] = None,
    category: Category = None,
    tag: WithTags = None,
    prefix: Prefix = None,
    output: Output = Format.YAML,
    api: Api = DEFAULT_API,
) -> None:
    """Workflows as `import` takes them: a stream of YAML, or a list of JSON."""
    from saga.cli.remote import Remote
    from saga.remote.transport import route
    from saga.workflows.text import Form, write_one

    if name is None and version is not None:
        raise typer.BadParameter("a version is one of a workflow: name it")
    path = route("workflows", "export") if name is None else route("workflows", name, "export")
    query = {"version": version} if name else _filters(category, tag, prefix)
    with Remote(api) as remote:
        found = remote.value(path, query | {"format": "json"})
    if output is Format.JSON:
        print(write_one(found, Form.JSON))
        return
    for document in [found] if name else found:
        print(write_one(document, Form.YAML), end="")


@app.command("import")
def import_(
    file: Files,
    activate: Activate = False,
    tag: Tags = None,
    by: By = DEFAULT_BY,
    reason: Why = "",
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """Save workflows: new ones, and further versions of those that are there. Exit code 4 if any was refused."""
    from saga.cli.remote import Remote, read_workflows

    query = {"by": by, "reason": reason, "tag": tag, "activate": activate}
    with Remote(api) as remote:
        found = remote.post(f"{_PATH}/import", read_workflows(file), query=query)["items"]
    write(found, output, ("name", "outcome", "version", "detail"))
    if refused := [one["name"] for one in found if one["outcome"] == "refused"]:
        say(f"refused: {', '.join(refused)}")
        raise typer.Exit(4)


def _one(documents: list[Any]) -> dict[str, Any]:
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise typer.BadParameter("expected one workflow: `saga def import` takes several")
    return documents[0]


def _filters(category: str | None, tag: list[str] | None, prefix: str | None) -> dict[str, Any]:
    return {"category": category, "tag": tag, "prefix": prefix}
