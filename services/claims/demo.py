"""The claims demo: a seller's twelve months, a marketplace over HTTP that pays, refuses and loses webhooks.

The seller listens live, declines what is asked first, forgets the second question, and agrees to all others.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from contracts.claims import UNDER_WAY
from contracts.phases import PHASES
from saga.api.parts import Parts
from saga.cli.system import Outside, System
from saga.log.queries import Filter
from saga.playing import rows_of
from saga.state import ENDED
from saga.timeline import timeline
from services.claims.books import Books, Ledger, compare, read_ledger
from services.claims.marketplace_client import tools
from services.claims.sample import OWED, rows
from services.claims.sample.serve import SECRET, sample_marketplace
from services.sandboxes.cases import Webhooks
from services.sandboxes.marketplace import Marketplace, serve_marketplace

DOMAINS = ("claims",)
ACCOUNT = "S-1"
_TIMEOUT_S = 120.0
_DECLINES, _FORGETS = 1, 2
"""Which question the seller declines, and which one is forgotten; all others are answered with yes."""
_PACE = {"POLL_S": "1.0", "REMIND_AFTER_S": "1.5", "EXPIRE_AFTER_S": "8.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of the seller's claims."""

    ledger: Ledger
    books: Books
    statuses: Counter[str]
    submitted: int
    rejected: int
    resubmitted: int
    paid: int
    precision: float
    recall: float
    stuck: int
    sagas: int
    lessons: Sequence[dict[str, Any]]
    heard: Counter[str]
    webhooks: Webhooks
    shown: Sequence[str]


@dataclass
class Seller:
    """A seller who listens to the notifications, and answers questions."""

    client: httpx2.AsyncClient
    heard: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    async def listen(self) -> None:
        """Follow the notifications by SSE until cancelled."""
        path = f"/api/v1/claims/accounts/{ACCOUNT}/notifications"
        async with self.client.stream("GET", path, params={"after": 0}, timeout=None) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    await self._hear(json.loads(line.removeprefix("data: ")))

    async def _hear(self, told: dict[str, Any]) -> None:
        self.heard[told["kind"]] += 1
        if told["kind"] != "question":
            return
        self.asked += 1
        if self.asked != _FORGETS:
            answer = {"answer": "decline" if self.asked == _DECLINES else "submit", "by": "seller"}
            await self.client.post(f"/api/v1/claims/{told['claim_id']}/answer", json=answer)


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """The marketplace, settings that lead there, and patience for a demo."""
    async with serve_marketplace(sample_marketplace(Webhooks(secret=SECRET, lose_every=9))) as market:
        environment = {f"SAGA_CLAIMS_{name}": value for name, value in _PACE.items()}
        environment |= {"SAGA_MARKETPLACE_URL": market.url, "SAGA_SECRET_MARKETPLACE": SECRET}
        yield Outside(environment, market)


async def play(system: System, outside: Outside, *, show: Any = None) -> Played:
    """Connect the account and wait until every claim is at its end, at most two minutes."""
    market: Marketplace = outside.world
    market.cases.webhooks.url = f"{system.api_url}/api/v1/claims/marketplace-webhook"
    async with httpx2.AsyncClient(base_url=system.api_url, trust_env=False) as client:
        seller = Seller(client)
        listening = asyncio.create_task(seller.listen(), name="seller")
        try:
            await connect(client, system.api_url)
            with show or nullcontext():
                bar = show.add_task("claims", total=None) if show else None
                with suppress(TimeoutError):  # What has not ended by then is reported as stuck.
                    async with asyncio.timeout(_TIMEOUT_S):
                        await _all_ended(system.parts, client, show, bar)
            lessons = (await client.get("/api/v1/claims/policies")).json()["items"]
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        async with tools(outside.environment) as there:
            statement = await there.marketplace.statement(next(iter(market.tokens)))
        ledger = await read_ledger(system.settings, statement)
        return await _result(system.parts, ledger, seller.heard, lessons, market.cases.webhooks)


async def connect(client: httpx2.AsyncClient, api_url: str) -> None:
    """Let us in, as the seller's browser does: to the marketplace, and back with its code."""
    body = {"account_id": ACCOUNT, "base_url": api_url}
    asked = (await client.post("/api/v1/claims/accounts", json=body)).raise_for_status().json()
    (await client.get(asked["authorize_url"], follow_redirects=True)).raise_for_status()


async def _all_ended(parts: Parts, client: httpx2.AsyncClient, show: Any, bar: Any) -> None:
    ended = Filter(status=tuple(status.value for status in ENDED))
    projector = parts.log.projector
    while True:
        position = projector.positions.get(0, 0)
        started = await parts.queries.count(Filter(name=PHASES[3].definition))
        if started and await parts.queries.count(ended) == await parts.queries.count(Filter()):
            claims = await _claims(client)
            left = sum(claim["status"] in UNDER_WAY for claim in claims)
            if show:
                show.update(bar, total=len(claims), completed=len(claims) - left)
            if not left:
                return
        await projector.wait_beyond(0, position)


async def _claims(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = (await client.get("/api/v1/claims", params=query)).raise_for_status().json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def _result(
    parts: Parts, ledger: Ledger, heard: Counter[str], lessons: list[dict[str, Any]], webhooks: Webhooks
) -> Played:
    sagas = await rows_of(parts, Filter())
    claims = ledger.claims
    owed = [(row["kind"], frozenset(row["records"].split())) for row in rows(OWED)]
    right = [claim for claim in claims if any(_shows(claim.kind, claim.records, one) for one in owed)]
    found = [one for one in owed if any(_shows(claim.kind, claim.records, one) for claim in claims)]
    rejections = [
        row for row in sagas if row["name"] == PHASES[6].definition and row["status"] == "completed"
    ]
    stuck = sum(claim.status in UNDER_WAY for claim in claims) + sum(
        row["status"] not in ENDED for row in sagas
    )
    again = [claim.claim_id for claim in claims if claim.submission == 2 and claim.status == "recovered"]
    return Played(
        ledger=ledger,
        books=compare(ledger),
        statuses=Counter(claim.status for claim in claims),
        submitted=sum(claim.submission > 0 for claim in claims),
        rejected=len(rejections),
        resubmitted=sum(claim.submission > 1 for claim in claims),
        paid=sum(claim.status == "recovered" for claim in claims),
        precision=round(len(right) / len(claims), 4) if claims else 0.0,
        recall=round(len(found) / len(owed), 4),
        stuck=stuck,
        sagas=len(sagas),
        lessons=lessons,
        heard=heard,
        webhooks=webhooks,
        shown=[
            row["saga_id"]
            for row in sorted(sagas, key=lambda row: str(row["started_at"]))
            if again and (row["input"] or {}).get("claim_id") == again[0]
        ],
    )


def _shows(kind: str, records: Sequence[str], owed: tuple[str, frozenset[str]]) -> bool:
    return kind == owed[0] and bool(owed[1] & set(records))


def summary(played: Played) -> dict[str, Any]:
    """The result as one JSON object."""
    return {
        "claims": len(played.ledger.claims),
        "submitted": played.submitted,
        "rejected": played.rejected,
        "resubmitted": played.resubmitted,
        "paid": played.paid,
        "precision": played.precision,
        "recall": played.recall,
        "reconciled": played.books.reconciled,
        "stuck": played.stuck,
    }


async def show(played: Played, parts: Parts) -> None:
    """The result for people."""
    from rich.console import Console
    from rich.table import Table

    console, books = Console(), played.books
    table = Table("claims that are", "", title=f"What the marketplace owes {ACCOUNT}")
    for status, count in sorted(played.statuses.items()):
        table.add_row(status, str(count))
    console.print(table)
    console.print(
        f"{len(played.ledger.claims)} claims found, precision {played.precision}, recall {played.recall}"
    )
    console.print(
        f"{played.submitted} submitted, {played.rejected} rejections, {played.resubmitted} submitted once more, "
        f"{played.paid} paid, {played.stuck} stuck; {played.sagas} sagas"
    )
    console.print(
        f"books: {'reconciled to the cent' if books.reconciled else 'NOT reconciled'}: {books.claimed} claimed, "
        f"{books.short} short, {books.paid} paid = {books.fees} fees + {books.sellers} for the seller"
    )
    for difference in books.differences:
        console.print(f"  {difference}", markup=False)
    console.print(
        f"{len(played.lessons)} lessons; webhooks: {played.webhooks.told}, of which {played.webhooks.lost} got lost"
    )
    console.print(
        f"the seller heard, live: {', '.join(f'{count} {kind}' for kind, count in played.heard.items())}"
    )
    for saga_id in played.shown:
        facts = await parts.queries.facts(saga_id)
        console.print(f"\n{facts[0].fact.definition}, saga {saga_id}:")
        for moment in timeline(facts):
            console.print(f"  {moment.offset_ms:9.1f} ms  {moment.text}", markup=False)
