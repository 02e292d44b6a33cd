"""`saga dlq list|show|redrive|drop`: what nobody could answer."""

from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, say, write

app = typer.Typer(no_args_is_help=True, help="Dead letters: messages nobody could answer.")

Codes = Annotated[list[str] | None, typer.Option("--code", help="fact.undecodable, ...; may be given again.")]
Consumer = Annotated[str | None, typer.Option(help="Who could not answer it.")]
SagaId = Annotated[str | None, typer.Option("--saga", help="Of which saga.")]
Since = Annotated[str | None, typer.Option(help="Buried at or after this time: 2026-01-31T08:00:00Z")]
Limit = Annotated[int, typer.Option(help="At most so many.", min=1)]
Which = Annotated[list[int] | None, typer.Argument(help="Sequences; without any, the filters choose.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell which letters these are.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking, for all the filters choose.")]

_PATH = "/api/v1/dead-letters"
_COLUMNS = ("sequence", "state", "code", "consumer", "saga_id", "buried_at", "reason")
_PAGE = 200


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="open, redriven or dropped; all by default.")] = None,
    code: Codes = None, consumer: Consumer = None, saga: SagaId = None, since: Since = None,
    limit: Limit = 50, after: Annotated[str | None, typer.Option(help="Cursor of the page before.")] = None,
    output: Output = Format.TABLE, api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Dead letters, oldest first."""
    from saga.cli.remote import Remote

    query = {**_filters(code, consumer, saga, since), **({"state": state} if state else {})}
    rows: list[dict[str, Any]] = []
    with Remote(api) as remote:
        while len(rows) < limit:
            size = {"limit": min(limit - len(rows), _PAGE)}
            page = remote.get(_PATH, query | size | ({"cursor": after} if after else {}))
            rows += page["items"]
            after = page["next_cursor"]
            if after is None:
                break
    write(rows, output, _COLUMNS)
    if after is not None:
        say(f"there are more: --after {after}")


@app.command()
def show(sequence: int, output: Output = Format.TABLE, api: Api = DEFAULT_API) -> None:
    """One dead letter with its message, its headers and its history."""
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        write(remote.get(f"{_PATH}/{sequence}"), output)


@app.command()
def redrive(
    reason: Reason, sequence: Which = None, code: Codes = None, consumer: Consumer = None,
    saga: SagaId = None, since: Since = None, limit: Limit = 1000, dry_run: DryRun = False, yes: Yes = False,
    by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Have messages heard again by the consumer that could not answer them."""
    chosen = _filters(code, consumer, saga, since)
    _decide("redrive", sequence or [], chosen, {"by": by, "reason": reason}, limit, dry_run, yes, output, api)


@app.command()
def drop(
    reason: Reason, sequence: Which = None, code: Codes = None, consumer: Consumer = None,
    saga: SagaId = None, since: Since = None, limit: Limit = 1000, dry_run: DryRun = False, yes: Yes = False,
    by: By = DEFAULT_BY, output: Output = Format.TABLE, api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Give messages up; they stay readable, with who and why."""
    chosen = _filters(code, consumer, saga, since)
    _decide("drop", sequence or [], chosen, {"by": by, "reason": reason}, limit, dry_run, yes, output, api)


def _filters(
    code: list[str] | None, consumer: str | None, saga: str | None, since: str | None
) -> dict[str, Any]:
    given = {"code": code, "consumer": consumer, "saga_id": saga, "since": since}
    return {name: value for name, value in given.items() if value}


def _decide(
    verb: str, sequences: list[int], chosen: dict[str, Any], words: dict[str, str], limit: int,
    dry_run: bool, yes: bool, output: Format, api: str,
) -> None:  # fmt: skip
    if sequences and chosen:
        raise typer.BadParameter("give sequences, or filters, not both")
    if not sequences and not (yes or dry_run):
        raise typer.BadParameter(
            "without sequences this is for all the filters choose: --dry-run, then --yes"
        )
    rows = (
        _one_by_one(verb, sequences, words, dry_run, api)
        if sequences
        else _by_filter(verb, {**chosen, **words}, limit, dry_run, api)
    )
    write(rows, output, ("sequence", "done", "detail"))
    refused = [row for row in rows if row["detail"] and not row["done"]]
    if refused and not dry_run:
        say(f"{len(refused)} of {len(rows)} refused")
        raise typer.Exit(4)


def _one_by_one(
    verb: str, sequences: list[int], words: dict[str, str], dry_run: bool, api: str
) -> list[dict[str, Any]]:
    from contracts.failure import Conflict
    from saga.cli.remote import Remote

    rows: list[dict[str, Any]] = []
    with Remote(api) as remote:
        for sequence in sequences:
            if dry_run:
                letter = remote.get(f"{_PATH}/{sequence}")
                rows.append({"sequence": sequence, "done": False, "detail": f"is {letter['state']}"})
                continue
            try:
                if verb == "redrive":
                    answer = remote.post(f"{_PATH}/{sequence}/redrive", words)
                else:
                    answer = remote.delete(f"{_PATH}/{sequence}", words)
            except Conflict as error:
                rows.append({"sequence": sequence, "done": False, "detail": str(error)})
            else:
                ruling = answer["ruling"]
                detail = "" if answer["changed"] else f"{ruling['by']} had done it at {ruling['at']}"
                rows.append({"sequence": sequence, "done": True, "detail": detail})
    return rows


def _by_filter(verb: str, body: dict[str, Any], limit: int, dry_run: bool, api: str) -> list[dict[str, Any]]:
    from saga.cli.remote import Remote

    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    with Remote(api) as remote:
        while len(rows) < limit:
            size = min(limit - len(rows), _PAGE)
            answer = remote.post(f"{_PATH}/{verb}", {**body, **cursor, "limit": size, "dry_run": dry_run})
            refused = {one["sequence"]: one["detail"] for one in answer["refused"]}
            rows += [
                {"sequence": one, "done": one in answer["done"], "detail": refused.get(one, "")}
                for one in answer["matched"]
            ]
            if answer["next_cursor"] is None:
                break
            cursor = {"cursor": answer["next_cursor"]}
    return rows
