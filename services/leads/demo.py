"""The leads demo: a store and six carriers over HTTP, one of them down; sixty leads, five of them invalid.

Each is told as the event `lead.qualified`; a trigger starts the workflow.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.breakers import BreakerEventKind
from contracts.events import EventMessage
from contracts.failure import Conflict
from contracts.leads import LeadQualified
from events.announce import announce
from events.clock import utc_now
from saga.api.parts import Parts
from saga.cli.system import Outside, System
from saga.log.queries import Filter
from saga.playing import Start, percentiles, play_all, rows_of
from saga.state import ENDED
from saga.timeline import timeline
from saga.workflows.catalogue import Words
from services.leads.definitions import SUBMIT_LEAD, trigger
from services.sandboxes.carriers import Carrier, Store, serve_carriers

DOMAINS = ("integrations", "leads")
SAMPLE = Path(__file__).parent / "sample.jsonl"
DOWN = "harbour"
_SECRET = "whsec_bGVhZHMtYXJlLXNhbXBsZXMtb25seSE="  # noqa: S105 - guards a sample
_IN_FLIGHT = 12
_TIMEOUT_S = 90.0
_RECENT = 1_000
_ONLY = Filter(name=SUBMIT_LEAD.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of the leads. `quotes` by carrier, `best` by lead. `surprises`: other ends than expected."""

    started: int
    by_status: dict[str, int]
    stuck: int
    quotes: dict[str, int]
    best: dict[str, dict[str, Any]]
    breaker_opened: int
    surprises: tuple[str, ...]
    p50_ms: float
    p99_ms: float
    shown_saga: str | None


def sample() -> list[dict[str, Any]]:
    """The leads, and how the saga of each is expected to end."""
    return [json.loads(line) for line in SAMPLE.read_text().splitlines()]


def store_of(leads: list[dict[str, Any]]) -> Store:
    """The store of these leads with its six carriers."""
    carriers = [
        Carrier("alpine", Decimal("0.031"), latency_ms=8),
        Carrier("beacon", Decimal("0.029"), latency_ms=20, ceiling=Decimal(40_000)),
        Carrier("cedar", Decimal("0.034"), latency_ms=3),
        Carrier("delta", Decimal("0.030"), latency_ms=40),
        Carrier("evergreen", Decimal("0.032"), latency_ms=12),
        Carrier(DOWN, Decimal("0.010"), down=True),
    ]
    return Store({lead["lead"]["id"]: lead["lead"] for lead in leads}, _SECRET, carriers)


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """The store and the carriers, and settings that allow them, and nothing else, to be called."""
    async with serve_carriers(store_of(sample())) as store:
        places = [url.removeprefix("http://") for url in (store.url, *(one.url for one in store.carriers))]
        yield Outside({"SAGA_HTTP_ALLOW": ",".join(places), "SAGA_SECRET_LEAD_STORE": _SECRET}, store)


async def play(system: System, outside: Outside, *, show: Any = None) -> Played:
    """Tell of every lead and wait for the end of all, at most ninety seconds."""
    parts, store, leads = system.parts, outside.world, sample()
    with suppress(Conflict):
        # A data folder that was kept has it already.
        await parts.triggers.create(trigger(), Words("demo", "play the sample"))

    def start(lead_id: str) -> Start:
        async def tell() -> str:
            told = LeadQualified(lead_id=lead_id, store=store.url)
            message = EventMessage.of(
                told,
                id=f"qualified {lead_id}",
                key=lead_id,
                source="/demo",
                time=utc_now(),
                correlationid=lead_id,
            )
            await announce(parts.bus, message)
            return lead_id

        return tell

    started = await play_all(
        parts,
        [start(lead["lead"]["id"]) for lead in leads],
        only=_ONLY,
        title="leads",
        in_flight=_IN_FLIGHT,
        timeout_s=_TIMEOUT_S,
        show=show,
    )
    rows = await rows_of(parts, _ONLY)
    by_status = Counter(row["status"] for row in rows)
    p50_ms, p99_ms = percentiles(rows)
    surprises = [
        f"{row['correlation_id']}: {row['status']} {row['abort'] or ''}"
        for row in rows
        if row["status"] != leads[started[row["correlation_id"]]]["expect"]
    ]
    moves = await parts.log.breakers.recent(f"http.carrier-{DOWN}", _RECENT)
    return Played(
        started=len(started),
        by_status=dict(by_status),
        stuck=len(started) - sum(by_status[status.value] for status in ENDED),
        quotes={carrier.id: len(carrier.quotes) for carrier in store.carriers},
        best={told["lead"]: told["best"] for told in store.told.values()},
        breaker_opened=sum(move["kind"] == BreakerEventKind.OPEN for move in moves),
        surprises=tuple(surprises),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        shown_saga=next((row["saga_id"] for row in rows if row["status"] == "completed"), None),
    )


def summary(played: Played) -> dict[str, Any]:
    """The result as one JSON object."""
    completed = played.by_status.get("completed", 0)
    return {
        "started": played.started,
        "completed": completed,
        "failed": sum(played.by_status.get(status.value, 0) for status in ENDED) - completed,
        "stuck": played.stuck,
        "quotes": sum(played.quotes.values()),
        "breaker_opened": played.breaker_opened,
    }


async def show(played: Played, parts: Parts) -> None:
    """The result for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    chosen = Counter(best["carrier"] for best in played.best.values())
    table = Table("carrier", "quotes", "was the best", title="Leads submitted to carriers")
    for carrier, quotes in played.quotes.items():
        name = f"{carrier} (down)" if carrier == DOWN else carrier
        table.add_row(name, str(quotes), str(chosen[carrier]))
    console.print(table)
    figures = summary(played)
    console.print(
        f"{figures['completed']} of {played.started} leads have their best quote, {figures['failed']} were invalid, "
        f"{played.stuck} are stuck; p50 {played.p50_ms:.0f} ms, p99 {played.p99_ms:.0f} ms"
    )
    console.print(f"the breaker of {DOWN} opened {played.breaker_opened} times, and nobody waited for it")
    for surprise in played.surprises:
        console.print(f"  otherwise than the sample says: {surprise}", markup=False)
    if played.shown_saga:
        console.print(f"\none lead, saga {played.shown_saga}:")
        for moment in timeline(await parts.queries.facts(played.shown_saga)):
            console.print(f"  {moment.offset_ms:9.1f} ms  {moment.text}", markup=False)
