"""`saga why` and `saga stuck`: why a step stands where it stands, and which sagas make no progress."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, say, write

StepName = Annotated[str, typer.Argument(help="Which step.")]
Silent = Annotated[float, typer.Option("--silent-s", min=0, help="Nothing heard of it for so many seconds.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="At most so many.")]


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    app.command()(why)
    app.command()(stuck)


def why(saga_id: str, step: StepName, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """Why a step ran, was skipped, waits or was undone; and, if it waits for others, why these do."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        answer = remote.get(f"/api/v1/sagas/{saga_id}/steps/{step}/why")
    if output is not Format.TABLE:
        write(answer["steps"] if output is Format.JSONL else answer, output)
        return
    for one in answer["steps"]:
        _tell(one)


def stuck(
    silent_s: Silent = 60.0, limit: Limit = 50, output: Output = Format.TABLE, api: Api = DEFAULT_API
) -> None:
    """Sagas without progress, the longest silent first, with the steps they hang on and why."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        page = remote.get("/api/v1/sagas/stuck", {"silent_s": silent_s, "limit": limit})
    if output is not Format.TABLE:
        write(page["items"] if output is Format.JSONL else page, output)
        return
    for saga in page["items"]:
        print(
            f"{saga['saga_id']}  {saga['definition']}  {saga['status']}, silent for {saga['silent_s']:.0f} s"
        )
        for one in saga["hangs_on"]:
            _tell(one, indent="  ")
    if not page["items"]:
        say(f"none of the {page['examined']} sagas that are silent for {silent_s:g} s is stuck")


def _tell(one: Mapping[str, Any], indent: str = "") -> None:
    since = f" since {one['since']}" if one["since"] else ""
    print(f"{indent}{one['step']} ({one['action']}): {one['standing'].replace('_', ' ')}{since}")
    for sentence in one["sentences"]:
        print(f"{indent}  - {sentence}")
