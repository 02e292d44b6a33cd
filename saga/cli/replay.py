"""`saga replay`: one saga again, fact by fact, with what every participant decided and why; or, with --into, sagas
played into another namespace.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, Api, Output
from saga.cli.output import Format, say, write
from saga.cli.republish import (
    Again,
    All,
    Before,
    Choice,
    Effects,
    Into,
    LetOut,
    OfDefinition,
    PatienceS,
    Since,
    Speed,
    To,
    play_into,
)

DIFFERENT = 10

SagaId = Annotated[str | None, typer.Argument(help="Which saga; may be left out if a file holds only one.")]
File = Annotated[
    str | None,
    typer.Option(
        "--file", help="Recorded facts instead of the stream: JSON lines (.zst too), an archive, -."
    ),
]
DefinitionFile = Annotated[
    Path | None,
    typer.Option("--definition", help="Its definition, if the file does not bring it: JSON or YAML."),
]
Until = Annotated[str | None, typer.Option(help="The last fact: a sequence, or an instant with its zone.")]
StepThrough = Annotated[bool, typer.Option("--step", help="Go forward and back by keys, in a terminal.")]
Diff = Annotated[
    bool, typer.Option("--diff", help="Only compare with the saga log; exit code 10 if it differs.")
]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command()(replay)


def replay(
    saga_id: SagaId = None, file: File = None, definition: DefinitionFile = None, until: Until = None,
    step: StepThrough = False, diff: Diff = False, into: Into = None, to: To = None, every: All = False,
    of: OfDefinition = None, since: Since = None, before: Before = None, speed: Speed = "max",
    patience_s: PatienceS = 10.0, effects: Effects = False, let_out: LetOut = None, again: Again = False,
    output: Output = Format.TABLE, api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Play a saga again, fact by fact: the state after each, what every participant decided, and why.

    The facts come from the stream (the API reads it), or with --file from a recording; nothing is changed. With --into
    they are read from the bus in NATS_URL, or the file, and stated in another namespace, but for those of the steps
    that somebody serves there; exit code 10 if these answer otherwise.
    """
    from contracts.failure import InvalidContract

    if into is not None:
        from saga.republish.pace import factor_of
        from saga.republish.playing import Wish

        if diff or step or until is not None:
            raise InvalidContract("--until, --step and --diff look at one saga, and --into plays: choose")
        choice = Choice(
            saga_id=saga_id, file=file, definition_file=definition, every=every, definition=of, since=since,
            before=before,
        )  # fmt: skip
        wish = Wish(
            factor=factor_of(speed), patience_s=patience_s, effects=effects, let_out=tuple(let_out or ()),
            again=again,
        )  # fmt: skip
        play_into(into, to, choice, wish, output)
        return
    if to or every or of or since or before or effects or let_out or again:
        raise InvalidContract(
            "these options say how facts are played into another namespace: name it (--into)"
        )
    if diff and file is not None:
        raise InvalidContract("--diff compares with the saga log, and a file has none: leave one of them out")
    answer = _recorded(file, saga_id, definition, until) if file else _from_api(saga_id, until, api)
    if not answer["whole"]:
        say("its start is no longer kept: states are those of the facts that are left")
    if diff:
        _show_diff(answer, output)
    elif step:
        from saga.cli.walking import step_through

        step_through(answer["frames"])
    elif output is Format.TABLE:
        from saga.cli.frames import show

        show(answer["frames"])
    else:
        write(answer["frames"] if output is Format.JSONL else answer, output)


def _from_api(saga_id: str | None, until: str | None, api: str) -> dict[str, Any]:
    from contracts.failure import InvalidContract
    from saga.cli.remote import Remote

    if saga_id is None:
        raise InvalidContract("say which saga; only a file that holds a single one needs no id")
    with Remote(api) as remote:
        return remote.get(f"/api/v1/sagas/{saga_id}/replay", {"until": until} if until else {})


def _recorded(file: str, saga_id: str | None, definition: Path | None, until: str | None) -> dict[str, Any]:
    from saga.cli.recordings import definitions_at_hand, read_file
    from saga.frames import frames_of
    from saga.replay import read_until, up_to
    from saga.sources import from_recording

    played = from_recording(read_file(file, saga_id), saga_id, definitions_at_hand(definition))
    facts = up_to(played.facts, read_until(until) if until else None)
    return {
        "saga_id": played.facts[0].fact.sagaid,
        "definition": played.definition.ref,
        "whole": played.whole,
        "frames": [frame.model_dump(mode="json") for frame in frames_of(played.definition, facts)],
    }


def _show_diff(answer: dict[str, Any], output: Format) -> None:
    found = {name: answer[name] for name in ("saga_id", "definition", "differences", "log_behind")}
    if output is not Format.TABLE:
        write(found, output)
    elif found["differences"]:
        print("\n".join(found["differences"]))
    else:
        late = f"; it is {found['log_behind']} facts behind" if found["log_behind"] else ""
        print(f"the log says what the stream says{late}")
    if found["differences"]:
        raise typer.Exit(DIFFERENT)
