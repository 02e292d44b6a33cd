"""The payments demo: plays the sample through the bus, checks what became of each, and closes the books."""

import asyncio
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import httpx2

from saga.api.parts import Parts
from saga.client import SagaClient, StartOptions
from saga.log.queries import Filter, Page, Statistics
from saga.service import ServiceSettings
from saga.state import SagaStatus
from saga.timeline import timeline
from services.payments.books import Books, check_books
from services.payments.presets import choose
from services.payments.sample import Sample, samples

_IN_FLIGHT = 24
_TIMEOUT_S = 120.0
_PAGE = 200
_ENDED = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


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


async def play(parts: Parts, settings: ServiceSettings, sandbox_url: str, *, show: Any = None) -> Played:
    """Start every request of the sample and wait for the end of all of them, at most two minutes."""
    requests = list(samples())
    with show or nullcontext():
        bar = show.add_task("payments", total=len(requests)) if show else None
        places = asyncio.Semaphore(_IN_FLIGHT)
        started: dict[str, Sample] = {}
        starting = asyncio.create_task(_start_all(parts.client, requests, places, started))
        tell = (lambda done: show.update(bar, completed=done)) if show else None
        await _all_ended(parts, len(requests), places, tell)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return await _result(parts, settings, sandbox_url, started)


async def _start_all(
    client: SagaClient, requests: list[Sample], places: asyncio.Semaphore, started: dict[str, Sample]
) -> None:
    """Start the sagas as places get free, so that what is measured is a payment and not a queue."""
    for number, sample in enumerate(requests):
        await places.acquire()
        options = StartOptions(idempotency_key=f"sample-{number}", labels={"expect": sample.expect})
        definition = choose(sample.request).ref
        saga = await client.start(definition, sample.request.model_dump(mode="json"), options)
        started[saga.saga_id] = sample


async def _all_ended(parts: Parts, total: int, places: asyncio.Semaphore, tell: Any) -> None:
    ended = Filter(status=tuple(status.value for status in _ENDED))
    position = given_back = 0
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while (done := await parts.queries.count(ended)) < total:
                for _ in range(done - given_back):
                    places.release()
                given_back = done
                if tell:
                    tell(done)
                await parts.log.projector.wait_beyond(0, position)
                position = parts.log.projector.positions[0]
    except TimeoutError:
        # Reported as stuck.
        return
    if tell:
        tell(total)


async def _result(
    parts: Parts, settings: ServiceSettings, sandbox_url: str, started: dict[str, Sample]
) -> Played:
    rows = await _all_rows(parts)
    by_status = Counter(row["status"] for row in rows)
    async with httpx2.AsyncClient(base_url=sandbox_url, trust_env=False) as client:
        statement = (await client.get("/statement")).json()
    durations = sorted(row["duration_ms"] for row in rows if row["duration_ms"] is not None)
    surprises = [await _surprise(parts, row, started[row["saga_id"]]) for row in rows]
    compensations = Counter[str]()
    for row in rows:
        if row["status"] == SagaStatus.COMPENSATED:
            view = await parts.queries.get(row["saga_id"])
            compensations[row["saga_id"]] = sum(step["status"] == "compensated" for step in view.steps)
    return Played(
        started=len(started),
        by_status=dict(by_status),
        stuck=len(started) - sum(by_status[status.value] for status in _ENDED),
        compensations=compensations.total(),
        surprises=tuple(surprise for surprise in surprises if surprise),
        statistics=await parts.queries.statistics(),
        p50_ms=durations[len(durations) // 2] if durations else 0.0,
        p99_ms=durations[int(len(durations) * 0.99)] if durations else 0.0,
        books=await check_books(settings, statement),
        shown_saga=max(compensations, key=lambda saga_id: compensations[saga_id], default=None),
    )


async def _all_rows(parts: Parts) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    page = Page([], "", 0)
    while page.next_cursor is not None:
        page = await parts.queries.page(Filter(), limit=_PAGE, cursor=page.next_cursor or None)
        rows += page.items
    return rows


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
