"""How `saga what-if` tells a verdict: of one saga whole, of many by their first differences."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from contracts.failure import Conflict
from saga.cli.output import Format, say, write
from saga.whatif import Verdict

_COLUMNS = ("step", "what", "was", "would")


def show_one(saga_id: str, verdict: Verdict, output: Format, *, run_again: bool) -> None:
    """Raises Conflict if the saga was not judged."""
    if not verdict.judged:
        raise Conflict(
            f"saga {saga_id} has not ended, or its start is no longer kept: there is nothing to compare"
        )
    rows = [asdict(one) for one in verdict.told.get(saga_id, [])]
    if output is not Format.TABLE:
        whole = {"saga_id": saga_id, "divergences": rows, **_done_again(verdict, run_again)}
        write(rows if output is Format.JSONL else whole, output)
        return
    if run_again:
        say(f"run again: {', '.join(sorted(verdict.done_again)) or 'nothing'}")
    if rows:
        print(f"it goes another way from {_sentence(rows[0])}")
        print()
        write(rows, output, _COLUMNS)
    else:
        print("it goes the same way")


def show_all(verdict: Verdict, output: Format, *, run_again: bool) -> None:
    """The counts and the reasons, the most frequent first."""
    reasons = [
        {"sagas": count, "example": example, **asdict(first)} for first, count, example in verdict.reasons()
    ]
    summary = {
        "judged": verdict.judged,
        "diverging": verdict.diverging,
        "under_way": verdict.under_way,
        "cut_off": verdict.cut_off,
        **_done_again(verdict, run_again),
    }
    if output is not Format.TABLE:
        sagas = {one: [asdict(found) for found in differences] for one, differences in verdict.told.items()}
        write({**summary, "reasons": reasons, "sagas": sagas}, output)
        return
    write(summary, output)
    if reasons:
        print()
        write(reasons, output, ("sagas", *_COLUMNS, "example"))
        say("saga what-if EXAMPLE tells one of them whole")


def _done_again(verdict: Verdict, run_again: bool) -> dict[str, Any]:
    return {"run_again": dict(sorted(verdict.done_again.items()))} if run_again else {}


def _sentence(row: Mapping[str, Any]) -> str:
    step = "the saga" if row["step"] == "_saga" else row["step"]
    return f"#{row['order']}: {step}, {row['what']}: was {row['was']}, would be {row['would']}"
