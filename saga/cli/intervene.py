"""`saga cancel|pause|resume|signal|skip|retry`: what people say of a running saga."""

from typing import Annotated

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, write

StepName = Annotated[str, typer.Argument(help="Which step.")]


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    for command in (cancel, pause, resume, signal, skip, retry):
        app.command()(command)


def cancel(
    saga_id: str, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API
) -> None:
    """Turn a saga round: what was done is undone."""
    _post(f"{saga_id}/cancel", reason, by, output, api)


def pause(
    saga_id: str, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API
) -> None:
    """Hold back the steps that come due; what is under way goes on."""
    _post(f"{saga_id}/pause", reason, by, output, api)


def resume(
    saga_id: str, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API
) -> None:
    """Let a paused saga go on."""
    _post(f"{saga_id}/resume", reason, by, output, api)


def skip(
    saga_id: str, step: StepName, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Pass a step by at the next moment it would run; or give up an undo that has failed."""
    _post(f"{saga_id}/steps/{step}/skip", reason, by, output, api)


def retry(
    saga_id: str, step: StepName, reason: Reason, by: By = DEFAULT_BY, output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Try the undo of a step again that has failed for good."""
    _post(f"{saga_id}/steps/{step}/retry", reason, by, output, api)


def signal(
    saga_id: str, step: StepName,
    payload: Annotated[str, typer.Option("--payload", help="JSON, @file, or - for stdin.")] = "{}",
    by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Give a step the signal it waits for."""
    from saga.cli.remote import Remote, read_json

    with Remote(api) as remote:
        body = {"by": by, "payload": read_json(payload)}
        write(remote.post(f"/api/v1/sagas/{saga_id}/steps/{step}/signal", body), output)


def _post(path: str, reason: str, by: str, output: Format, api: str) -> None:
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.post(f"/api/v1/sagas/{path}", {"reason": reason, "by": by}), output)
