"""`saga step`: one step of a saga by itself, as a pod of an exported workflow runs it.

Exit codes beside the usual ones: 75 the attempt is to be repeated; 8 the step, or its undo, has failed for good.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="One step of a saga by itself, for pods: start, due, do, begin, undo, settle, end.",
)

Definition = Annotated[str, typer.Argument(help="name@version")]
Step = Annotated[str, typer.Argument(help="Name of the step.")]
Saga = Annotated[str, typer.Option("--saga", help="Id of the saga.")]
Out = Annotated[Path, typer.Option(help="File for the answer.")]

_WAIT = "SAGA_STEP_WAIT_S"
_FAILED = 8
_END = {"completed": 0, "compensated": 9}


def _run(coroutine: Any) -> Any:
    from saga.cli.session import run

    return run(coroutine)


@app.command()
def start(definition: Definition, saga: Saga) -> None:
    """Start a saga, with the input in SAGA_STEP_INPUT; the definitions in SAGA_STEP_DEFINITIONS are made known."""
    from saga.cli.stepping import start as begin

    _run(begin(definition, saga, os.environ))


@app.command()
def due(definition: Definition, step: Step, saga: Saga, out: Out) -> None:
    """Wait until it can be told if a step is to be done, and write `true` or `false`."""
    from saga.cli.stepping import stepper

    async def ask() -> bool:
        async with stepper(os.environ, definition, [step]) as steps:
            return await steps.due(saga, step)

    out.write_text("true" if _run(ask()) else "false")


@app.command()
def do(
    definition: Definition,
    step: Step,
    saga: Saga,
    child: Annotated[
        bool, typer.Option("--child", help="A failure is not an exit code: the parent judges.")
    ] = False,
) -> None:
    """Do a step when it is due."""
    from contracts.facts import FactKind
    from saga.cli.output import say
    from saga.cli.stepping import stepper

    async def act() -> tuple[FactKind | None, bool]:
        async with stepper(os.environ, definition, [step]) as steps:
            ended = await steps.do(saga, step)
            state = await steps.state(saga)
            return ended, state.abort is None and state.status != "waiting"

    ended, goes_on = _run(act())
    say(f"{step}: {ended or 'the saga was aborted'}")
    if ended == FactKind.FAILED and not goes_on and not child:
        raise typer.Exit(_FAILED)


@app.command()
def begin(definition: Definition, step: Step, saga: Saga, out: Out) -> None:
    """Do a step that begins other sagas until it waits for them, and write which these are, as JSON."""
    from saga.cli.stepping import stepper

    async def act() -> list[dict[str, str]]:
        async with stepper(os.environ, definition, [step]) as steps:
            if await steps.do(saga, step, until_rest=True) is None:
                return []
            return [
                {"saga": child.saga_id, "definition": child.definition}
                for child in await steps.children(saga, step)
            ]

    out.write_text(json.dumps(_run(act())))


@app.command()
def undo(definition: Definition, step: Step, saga: Saga) -> None:
    """Undo a step of an aborted saga, once those after it are undone."""
    from saga.cli.stepping import stepper

    async def act() -> None:
        async with stepper(os.environ, definition, [step]) as steps:
            await steps.undo(saga, step)

    _run(act())


@app.command()
def settle(definition: Definition, saga: Saga) -> None:
    """Undo all of a saga that is aborted; nothing, if it is not."""
    from saga.cli.stepping import stepper

    async def act() -> None:
        async with stepper(os.environ, definition) as steps:
            await steps.settle(saga)

    _run(act())


@app.command("turn-round")
def turn_round(
    saga: Saga,
    out: Out,
    workflow_status: Annotated[str, typer.Option(help="What the engine says of the workflow.")] = "",
) -> None:
    """Abort a saga that has not come to its end, and write whether there is something to undo."""
    from saga.cli.stepping import stepper

    async def act() -> bool:
        async with stepper(os.environ) as steps:
            reason = f"the workflow that runs it is over: {workflow_status or 'stopped'}"
            return await steps.abort(saga, reason=reason, by="argo")

    out.write_text("true" if _run(act()) else "false")


@app.command()
def end(saga: Saga) -> None:
    """Tell how a saga has ended: exit code 0 completed, 9 compensated, 8 failed or waiting for a person."""
    from saga.cli.output import say
    from saga.cli.stepping import stepper

    async def ask() -> str:
        async with stepper(os.environ) as steps:
            return (await steps.state(saga)).status.value

    status = _run(ask())
    say(f"saga {saga}: {status}")
    raise typer.Exit(_END.get(status, _FAILED))
