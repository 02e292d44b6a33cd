"""The casefiles demo: six cases are set up, gathered and analysed; some attempts are refused and leave nothing."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.definition import SagaDefinition
from contracts.facts import FactKind
from contracts.ids import new_saga_id
from saga.api.parts import Parts
from saga.cli.system import Outside, System
from saga.client import StartOptions
from saga.log.queries import Filter
from saga.playing import Start, percentiles, play_all, rows_of
from saga.state import ENDED
from saga.timeline import timeline
from services.casefiles.attempts import Attempt, analyses, gatherings, setups
from services.casefiles.connectors import DRIVE_VARIABLE, MAILBOX_VARIABLE
from services.casefiles.definitions import DEFINITIONS
from services.casefiles.leftovers import Kept, what_is_kept
from services.casefiles.sample import MAILBOX, Case, cases, lay_out

DOMAINS = ("casefiles",)
_RUN = "run"
_IN_FLIGHT = 8
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of the attempts. `reports` by client. `surprises`: other ends than expected."""

    started: int
    by_status: dict[str, int]
    stuck: int
    refusals: dict[str, int]
    reports: dict[str, dict[str, Any]]
    kept: Kept
    surprises: tuple[str, ...]
    p50_ms: float
    p99_ms: float
    shown_saga: str | None


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """The sample's mailbox, and a drive with its files and workbooks."""
    with tempfile.TemporaryDirectory(prefix="saga-casefiles-") as folder:
        yield Outside({MAILBOX_VARIABLE: str(MAILBOX), DRIVE_VARIABLE: str(lay_out(Path(folder)))})


async def play(system: System, outside: Outside, *, show: Any = None) -> Played:
    """Set all cases up, gather for them, analyse them: one after the other, at most a minute each."""
    playing = _Playing(system.parts, show)
    known = cases()
    opened = await playing.round("setup", setups(known))
    ids = {
        case.client: outputs["create_casefile"]["casefile_id"]
        for case, outputs in zip(known, opened, strict=False)
        if "create_casefile" in outputs
    }
    cases_open = [case for case in known if case.client in ids]
    merged: list[dict[str, Any]] = []
    if cases_open:
        await playing.round("gather", gatherings(cases_open, ids))
        merged = await playing.round("analysis", analyses(cases_open, ids))
    reports = {
        case.client: outputs["merge"]["report"]
        for case, outputs in zip(cases_open, merged, strict=False)
        if "merge" in outputs
    }
    return await playing.result(system, cases_open, reports)


class _Playing:
    """Plays round after round, and remembers how each attempt was to end."""

    def __init__(self, parts: Parts, show: Any) -> None:
        self._parts = parts
        self._show = show
        self._attempts: dict[str, Attempt] = {}
        # A folder that is used again holds the sagas of earlier runs, too.
        self._run = new_saga_id()

    def _only(self, definition: SagaDefinition) -> Filter:
        return Filter(name=definition.name, labels=((_RUN, self._run),))

    async def round(self, title: str, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
        """Play these; the outputs of the steps of each, in the same order."""
        started = await play_all(
            self._parts,
            [self._start(attempt) for attempt in attempts],
            only=self._only(attempts[0].definition),
            title=title,
            in_flight=_IN_FLIGHT,
            timeout_s=_TIMEOUT_S,
            show=self._show,
        )
        self._attempts |= {saga_id: attempts[number] for saga_id, number in started.items()}
        by_number = {number: saga_id for saga_id, number in started.items()}
        return [await self._outputs(by_number[number]) for number in sorted(by_number)]

    def _start(self, attempt: Attempt) -> Start:
        async def begin() -> str:
            options = StartOptions(labels={_RUN: self._run})
            client = self._parts.client
            return (await client.start(attempt.definition.ref, attempt.input, options)).saga_id

        return begin

    async def _outputs(self, saga_id: str) -> dict[str, Any]:
        facts = [one.fact for one in await self._parts.queries.facts(saga_id)]
        return {
            fact.subject: fact.data["output"]
            for fact in facts
            if fact.kind == FactKind.COMPLETED and "output" in fact.data
        }

    async def result(self, system: System, known: Sequence[Case], reports: dict[str, Any]) -> Played:
        rows = [
            row for definition in DEFINITIONS for row in await rows_of(self._parts, self._only(definition))
        ]
        by_status = Counter(row["status"] for row in rows)
        p50_ms, p99_ms = percentiles(rows)
        wrong = [surprise for row in rows if (surprise := self._surprise(row))]
        wrong += [
            f"{case.client}: another report" for case in known if not _as_told(case, reports.get(case.client))
        ]
        refused = [_code(row) for row in rows if row["status"] == "compensated"]
        return Played(
            started=len(self._attempts),
            by_status=dict(by_status),
            stuck=len(self._attempts) - sum(by_status[status.value] for status in ENDED),
            refusals=dict(Counter(refused)),
            reports=reports,
            kept=await what_is_kept(system.settings, [row["saga_id"] for row in rows if _undone(row)]),
            surprises=tuple(wrong),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            shown_saga=next((row["saga_id"] for row in rows if _code(row) == "sheets.none"), None),
        )

    def _surprise(self, row: dict[str, Any]) -> str | None:
        attempt = self._attempts[row["saga_id"]]
        if (row["status"], _code(row)) == (attempt.expect, attempt.refused):
            return None
        found, expected = f"{row['status']} {_code(row)}", f"{attempt.expect} {attempt.refused}"
        return f"{row['name']} {row['saga_id']}: {found}, expected {expected}"


def _undone(row: dict[str, Any]) -> bool:
    return bool(row["status"] == "compensated")


def _code(row: dict[str, Any]) -> str:
    abort = row["abort"] or {}
    return str((abort.get("failure") or {}).get("code", ""))


def _as_told(case: Case, report: dict[str, Any] | None) -> bool:
    if report is None:
        return False
    found = report | {"differing": [one["reference"] for one in report["differing"]]}
    return all(found[name] == references for name, references in case.report.items())


def summary(played: Played) -> dict[str, Any]:
    """The result as one JSON object."""
    completed = played.by_status.get("completed", 0)
    return {
        "started": played.started,
        "completed": completed,
        "failed": sum(played.by_status.get(status.value, 0) for status in ENDED) - completed,
        "stuck": played.stuck,
        "evidence": played.kept.evidence,
        "leftovers": played.kept.leftovers,
    }


async def show(played: Played, parts: Parts) -> None:
    """The result for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "client", "agreed", "differing", "only in mails", "only in files", title="Claims and bookings"
    )
    for client, report in played.reports.items():
        differing = [f"{one['reference']} ({_pair(one)})" for one in report["differing"]]
        rest = (report["agreed"], differing, report["only_in_mails"], report["only_in_files"])
        table.add_row(client, *(", ".join(references) for references in rest))
    console.print(table)
    refusals = ", ".join(f"{count} {code}" for code, count in sorted(played.refusals.items()))
    console.print(
        f"{played.by_status.get('completed', 0)} of {played.started} sagas completed, refused as expected: {refusals}"
    )
    console.print(
        f"{played.kept.casefiles} casefiles with {played.kept.evidence} pieces of evidence, "
        f"{played.kept.leftovers} left over from what was undone; "
        f"p50 {played.p50_ms:.0f} ms, p99 {played.p99_ms:.0f} ms"
    )
    for surprise in played.surprises:
        console.print(f"  otherwise than the sample says: {surprise}", markup=False)
    if played.shown_saga:
        console.print(f"\na gathering that found a sheet missing, saga {played.shown_saga}:")
        for moment in timeline(await parts.queries.facts(played.shown_saga)):
            console.print(f"  {moment.offset_ms:9.1f} ms  {moment.text}", markup=False)


def _pair(difference: dict[str, Any]) -> str:
    return " / ".join(
        str(amount["amount"]) for amount in (difference["claimed"], difference["booked"]) if amount
    )
