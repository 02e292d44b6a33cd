"""The payments demo: plays the sample through the bus, checks what became of each, and closes the books."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from saga.api.parts import Parts
from saga.cli.system import Outside, System
from saga.client import StartOptions
from saga.log.queries import Filter, Statistics
from saga.playing import Start, percentiles, play_all, rows_of
from saga.service import ServiceSettings
from saga.state import ENDED, SagaStatus
from saga.timeline import timeline
from services.payments.books import Books, check_books
from services.payments.presets import choose
from services.payments.sample import Sample, samples

_IN_FLIGHT = 24
_TIMEOUT_S = 120.0
DOMAINS = ("payments",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of the sample. `surprises`: sagas that ended otherwise than the sample says."""

    started: int
    by_status: dict[str, int]
    stuck: int
    compensations: int
    surprises: tuple[str, ...]
    statistics: list[Statistics]
    p50_ms: float
    p99_ms: float
    books: Books
    shown_saga: str | None


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """The operators' sandbox is part of every system, so nothing more is needed."""
    yield Outside({})


async def play(system: System, outside: Outside, *, show: Any = None) -> Played:
    """Start every request of the sample and wait for the end of all of them, at most two minutes."""
    parts, requests = system.parts, list(samples())

    def start(number: int, sample: Sample) -> Start:
        async def begin() -> str:
            options = StartOptions(idempotency_key=f"sample-{number}", labels={"expect": sample.expect})
            request = sample.request.model_dump(mode="json")
            return (await parts.client.start(choose(sample.request).ref, request, options)).saga_id

        return begin

    starts = [start(number, sample) for number, sample in enumerate(requests)]
    started = await play_all(
        parts, starts, only=Filter(), title="payments", in_flight=_IN_FLIGHT, timeout_s=_TIMEOUT_S, show=show
    )
    samples_by_id = {saga_id: requests[number] for saga_id, number in started.items()}
    return await _result(parts, system.settings, system.sandbox_url, samples_by_id)


async def _result(
    parts: Parts, settings: ServiceSettings, sandbox_url: str, started: dict[str, Sample]
) -> Played:
    rows = await rows_of(parts, Filter())
    by_status = Counter(row["status"] for row in rows)
    async with httpx2.AsyncClient(base_url=sandbox_url, trust_env=False) as client:
        statement = (await client.get("/statement")).json()
    p50_ms, p99_ms = percentiles(rows)
    surprises = [await _surprise(parts, row, started[row["saga_id"]]) for row in rows]
    compensations = Counter[str]()
    for row in rows:
        if row["status"] == SagaStatus.COMPENSATED:
            view = await parts.queries.get(row["saga_id"])
            compensations[row["saga_id"]] = sum(step["status"] == "compensated" for step in view.steps)
    return Played(
        started=len(started),
        by_status=dict(by_status),
        stuck=len(started) - sum(by_status[status.value] for status in ENDED),
        compensations=compensations.total(),
        surprises=tuple(surprise for surprise in surprises if surprise),
        statistics=await parts.queries.statistics(),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        books=await check_books(settings, statement),
        shown_saga=max(compensations, key=lambda saga_id: compensations[saga_id], default=None),
    )


async def _surprise(parts: Parts, row: dict[str, Any], sample: Sample) -> str | None:
    at = (row["abort"] or {}).get("step", "")
    if (row["status"], at) == (sample.expect, sample.refused_at):
        return None
    return (
        f"{sample.request.reference} ({row['saga_id']}): {row['status']} {at}, "
        f"expected {sample.expect} {sample.refused_at}"
    )


def summary(played: Played) -> dict[str, Any]:
    """The result as one JSON object."""
    return {
        "started": played.started,
        "completed": played.by_status.get("completed", 0),
        "compensated": played.by_status.get("compensated", 0),
        "failed": played.by_status.get("failed", 0),
        "stuck": played.stuck,
        "duplicates": played.books.duplicates,
        "books_balanced": played.books.balanced,
        "p50_ms": round(played.p50_ms, 1),
        "p99_ms": round(played.p99_ms, 1),
    }


async def show(played: Played, parts: Parts) -> None:
    """The result for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("saga", "completed", "compensated", "other", "p50 ms", "p99 ms", title="Payments by preset")
    for one in played.statistics:
        other = sum(
            count for status, count in one.by_status.items() if status not in ("completed", "compensated")
        )
        table.add_row(
            one.name,
            str(one.by_status.get("completed", 0)),
            str(one.by_status.get("compensated", 0)),
            str(other),
            f"{one.p50_ms or 0:.1f}",
            f"{one.p99_ms or 0:.1f}",
        )
    console.print(table)
    console.print(f"{played.compensations} steps were undone, {played.stuck} sagas are stuck, ", end="")
    console.print(f"{len(played.surprises)} ended otherwise than the sample says")
    for surprise in played.surprises:
        console.print(f"  {surprise}", markup=False)
    books = played.books
    console.print(
        f"books: {'balanced' if books.balanced else 'NOT balanced'}, {books.duplicates} duplicate effects"
    )
    for difference in books.differences:
        console.print(f"  {difference}", markup=False)
    paid = ", ".join(f"{amount:,} {currency}" for currency, amount in sorted(books.paid.items()))
    console.print(f"paid out and settled: {paid}")
    if played.shown_saga:
        console.print(f"\none payment that was undone, saga {played.shown_saga}:")
        for moment in timeline(await parts.queries.facts(played.shown_saga)):
            console.print(f"  {moment.offset_ms:9.1f} ms  {moment.text}", markup=False)
