"""`saga log rebuild|verify`: the saga log made anew from the stream, and held against it."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.options import Output
from saga.cli.output import Format, progress, say, write

DIFFERENT = 10
_SHOWN = 20
_COLUMNS = ("saga_id", "table", "row", "column", "said", "should")

app = typer.Typer(no_args_is_help=True, help="The saga log's database: rebuild it, verify it.")

Log = Annotated[str | None, typer.Option(help="URL of the log's database; SAGA_LOG_DATABASE_URL by default.")]
Into = Annotated[str | None, typer.Option(help="URL of a fresh database to fill; nothing is swapped then.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Do not go on with what an earlier rebuild has left.")]
WithoutOld = Annotated[
    bool, typer.Option("--without-old", help="Do not read the old log: what only it still keeps is left out.")
]
Accept = Annotated[
    bool, typer.Option("--accept-differences", help="Swap, though the old log says otherwise.")
]


@app.command()
def rebuild(
    log: Log = None, into: Into = None, fresh: Fresh = False, without_old: WithoutOld = False,
    accept: Accept = False, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Project the stream into a fresh database, compare it with the old log row by row, and swap the two.

    Reads the bus in NATS_URL. The log may run meanwhile; for the swap it must be stopped. What was stopped or
    killed goes on where it was. Exit code 10, and no swap, if the old log says otherwise.
    """
    from saga.cli.session import run

    report = run(_rebuild(log, into, fresh=fresh, without_old=without_old, accept=accept))
    _show(report, output)
    if report["different"] and not accept:
        raise typer.Exit(DIFFERENT)


@app.command()
def verify(log: Log = None, output: Output = Format.TABLE) -> None:
    """Prove that the log says what the stream says: every row against a projection made anew, beside it.

    Reads the bus in NATS_URL and changes nothing. Exit code 10 if a row is different.
    """
    from saga.cli.session import run

    report = run(_verify(log))
    _show(report, output)
    if report["different"]:
        raise typer.Exit(DIFFERENT)


async def _rebuild(
    log: str | None, into: str | None, *, fresh: bool, without_old: bool, accept: bool
) -> dict[str, Any]:
    from contracts.failure import InvalidContract
    from events.clock import utc_now
    from saga.log.swap import swap

    url = _log_url(log)
    file = _sqlite_file(url)
    target = into or _beside(url, file)
    if fresh and into is not None:
        raise InvalidContract("--fresh removes what an earlier rebuild has left, never a database you name")
    if fresh:
        _remove(_sqlite_file(target))
    async with AsyncExitStack() as stack:
        old = None if without_old else await stack.enter_async_context(_existing(url, named=log is not None))
        report = await _project(stack, target, old)
    if into is not None or (report["different"] and not accept):
        return report | {"swapped": False, "rebuilt": _shown(target)}
    assert file is not None, "only a file is rebuilt beside the log"
    kept = swap(file, Path(_sqlite_file(target) or ""), utc_now())
    return report | {"swapped": True, "old_log": str(kept) if kept else None}


async def _verify(log: str | None) -> dict[str, Any]:
    url = _log_url(log)
    with tempfile.TemporaryDirectory(prefix="saga-verify-") as folder:
        async with AsyncExitStack() as stack:
            old = await stack.enter_async_context(_existing(url, named=True))
            return await _project(stack, f"sqlite+aiosqlite:///{folder}/true.db", old)


async def _project(stack: AsyncExitStack, target: str, old: Any) -> dict[str, Any]:
    """Project the stream into the target, and compare the old log with it."""
    from dataclasses import asdict

    from events.bus import Bus
    from events.clock import monotonic
    from events.definitions import Definitions
    from events.settings import BusSettings
    from saga.log.compare import Comparison, compare
    from saga.log.rebuild import rebuild
    from saga.log.store import open_log

    bus = await stack.enter_async_context(await Bus.connect(BusSettings()))
    definitions = await stack.enter_async_context(Definitions.open(bus))
    rebuilt = await stack.enter_async_context(open_log(target))
    begun = monotonic()
    with progress("projecting") as tell:
        messages = await rebuild(bus, definitions, rebuilt, old=old, tell=tell)
    took_s = monotonic() - begun
    found = Comparison() if old is None else await compare(old, rebuilt)
    return {
        "messages": messages,
        "messages_per_s": round(messages / took_s) if took_s else 0,
        "compared": old is not None,
        "sagas": found.sagas,
        "rows": found.rows,
        "passed_over": found.passed_over,
        "different": found.different,
        "differences": [asdict(difference) for difference in found.differences],
    }


def _log_url(given: str | None) -> str:
    from saga.cli.system import log_url
    from saga.service import ServiceSettings

    return given or log_url(ServiceSettings())


def _sqlite_file(url: str) -> Path | None:
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _beside(url: str, file: Path | None) -> str:
    """Where the rebuilt log grows. Raises InvalidContract if the log is no file that could be swapped."""
    from sqlalchemy.engine import make_url

    from contracts.failure import InvalidContract

    if file is None:
        raise InvalidContract(
            f"{_shown(url)} is no SQLite file: give a fresh database with --into, and set "
            "SAGA_LOG_DATABASE_URL to it afterwards"
        )
    rebuilt = file.with_name(f"{file.stem}.rebuild{file.suffix}")
    return make_url(url).set(database=str(rebuilt)).render_as_string(hide_password=False)


def _shown(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string()


def _remove(file: Path | None) -> None:
    for suffix in ("", "-wal", "-shm") if file is not None else ():
        Path(f"{file}{suffix}").unlink(missing_ok=True)


@asynccontextmanager
async def _existing(url: str, *, named: bool) -> AsyncIterator[Any]:
    """The old log, or None if there is none where it should be by default. Raises Unusable."""
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    from contracts.failure import Unusable
    from events.database import Database, make_engine
    from saga.log.tables import PositionRow, table_of

    file = _sqlite_file(url)
    if file is not None and not file.exists():
        if named:
            raise Unusable(f"no saga log at {_shown(url)}: there is no {file}")
        yield None
        return
    database = Database(make_engine(url, readers=1))
    try:
        try:
            async with database.reading() as connection:
                await connection.execute(select(table_of(PositionRow)))
        except (SQLAlchemyError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise Unusable(
                f"no saga log at {_shown(url)}: {reason}; `saga log rebuild --without-old` does without it"
            ) from error
        yield database
    finally:
        await database.close()


def _show(report: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        write(report, output)
        return
    write({name: value for name, value in report.items() if name != "differences"}, output)
    if report["differences"]:
        print()
        write(report["differences"][:_SHOWN], output, _COLUMNS)
        if report["different"] > _SHOWN:
            say(f"{report['different'] - _SHOWN} more: -o json gives the first thousand")
