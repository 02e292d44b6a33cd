"""`saga audit`: every saga in the stream against the invariants, and the saga log against the stream."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.output import say

VIOLATED = 8
_SHOWN = 50

SagaIds = Annotated[list[str] | None, typer.Argument(help="Only these sagas; all by default.")]
Definition = Annotated[str | None, typer.Option("--def", help="Only sagas of name or name@version.")]
Started = Annotated[Path | None, typer.Option(help="A file of ids whose start was acknowledged, one a line.")]
Log = Annotated[
    str | None, typer.Option(help="URL of the log's database; by default where this machine has it.")
]
StuckAfter = Annotated[float, typer.Option(min=0, help="Silent so long and not at rest: stuck.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command()(audit)


def audit(
    saga_id: SagaIds = None, definition: Definition = None, started: Started = None, log: Log = None,
    stuck_after_s: StuckAfter = 3600, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Prove every saga in the stream: none lost, none stuck, undone in reverse, the log right.

    Reads the bus in NATS_URL and changes nothing. Exit code 8 if an invariant is violated.
    """
    from saga.cli.session import run

    ids = _ids(started) if started is not None else []
    report = run(_audit(saga_id or [], definition, ids, log, stuck_after_s))
    if as_json:
        print(json.dumps(report))
    else:
        _show(report)
    if report["violations"]:
        raise typer.Exit(VIOLATED)


def _ids(file: Path) -> list[str]:
    from contracts.failure import NotFound

    try:
        return file.read_text().split()
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from error


async def _audit(
    wanted: Sequence[str],
    definition: str | None,
    started: Sequence[str],
    log: str | None,
    stuck_after_s: float,
) -> dict[str, Any]:
    from contracts.facts import Fact
    from contracts.failure import NotFound
    from events.bus import Bus
    from events.clock import utc_now
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.audit import Auditor, everything, learn

    ids = frozenset(wanted)

    def is_wanted(fact: Fact) -> bool:
        of_it = definition is None or definition in (fact.saga, fact.definition)
        return of_it and (not ids or fact.sagaid in ids)

    rows = await _log_rows(log)
    async with await Bus.connect(BusSettings()) as bus, Definitions.open(bus) as definitions:
        auditor = Auditor(definitions.get, wanted=is_wanted, log=rows)
        # What is said while the stream is being read is not silence.
        now = utc_now()
        async for partition, message in everything(bus):
            await learn(definitions, message)
            auditor.hear(partition, message)
    if missing := ids - auditor.sagas.keys():
        raise NotFound(f"not in the stream: {', '.join(sorted(missing))}")
    violations = auditor.violations(started=started, silent_since=now - timedelta(seconds=stuck_after_s))
    return {
        "sagas": len(auditor.sagas),
        "facts": auditor.facts,
        "by_status": auditor.by_status(),
        "undecodable": auditor.undecodable,
        "not_judged": len(auditor.cut_off),
        "log_compared": sum(saga.at_log is not None for saga in auditor.sagas.values()) if rows else None,
        "violations": [violation.as_dict() for violation in violations],
    }


async def _log_rows(url: str | None) -> Any:
    """What the log says, or None if there is none to be found. Raises Unusable if the one named is not."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from contracts.failure import Unusable
    from events.database import Database, make_engine
    from saga.audit import read_log
    from saga.cli.system import log_url
    from saga.service import ServiceSettings

    where = url or log_url(ServiceSettings())
    try:
        _require_file(where)
        database = Database(make_engine(where, readers=1))
        try:
            return await read_log(database)
        finally:
            await database.close()
    except (SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        if url is not None:
            raise Unusable(f"no saga log at {make_url(url)!r}: {reason}") from error
        say(f"the log is not compared ({reason}): name it with --log or SAGA_LOG_DATABASE_URL")
        return None


def _require_file(url: str) -> None:
    """SQLite would make the file that is not there."""
    from sqlalchemy.engine import make_url

    file = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and not Path(file or "").exists():
        raise FileNotFoundError(f"there is no {file}")


def _show(report: dict[str, Any]) -> None:
    from saga.cli.output import Format, write

    violations = report["violations"]
    compared = report["log_compared"]
    write(
        {
            "sagas": report["sagas"],
            **report["by_status"],
            "facts": report["facts"],
            "compared with the log": "none" if compared is None else compared,
            "not judged (start no longer kept)": report["not_judged"],
            "undecodable messages": report["undecodable"],
            "violations": len(violations),
        },
        Format.TABLE,
    )
    if violations:
        print()
        write(violations[:_SHOWN], Format.TABLE, ("saga_id", "invariant", "step", "detail"))
        if len(violations) > _SHOWN:
            say(f"{len(violations) - _SHOWN} more: --json gives them all")
