"""The chargebacks demo: documents with known answers, SAP and the federal database over HTTP, and two reviewers.

The reviewers see the queue over HTTP and decide by signals, as people would. What has become of every document is
compared with its known answer: what the claim was taken for, the outcome, its reasons and the amount.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

import httpx2
import yaml

from contracts.chargebacks import Claim
from contracts.facts import FactKind
from saga.api.parts import Parts
from saga.cli.system import Outside, System
from saga.client import StartOptions
from saga.log.queries import Filter
from saga.playing import Start, percentiles, play_all, rows_of
from saga.state import ENDED
from saga.timeline import timeline
from services.chargebacks.definitions import CHARGEBACK
from services.chargebacks.federal_client import URL_VARIABLE as FEDERAL_URL
from services.chargebacks.sample import Sample, samples
from services.chargebacks.sap_client import URL_VARIABLE as SAP_URL
from services.chargebacks.seeds import shipped
from services.chargebacks.trail import problems
from services.sandboxes.federal import Federal, Registered, serve_federal
from services.sandboxes.sap import Mood, SapBooks, serve_sap

DOMAINS = ("chargebacks",)
_IN_FLIGHT = 12
_TIMEOUT_S = 90.0
_LOST = ("LOST-sheet", "LOST-letter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of the documents. `surprises`: other than the known answers say, by document."""

    documents: int
    by_status: dict[str, int]
    stuck: int
    outcomes: dict[str, int]
    reviewed: int
    surprises: tuple[str, ...]
    trail_problems: tuple[str, ...]
    credited: Decimal
    p50_ms: float
    shown_saga: str | None


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """SAP, which knows one customer and loses two answers, and the federal database of the sample."""
    known = shipped("rosters")["premier-alliance"][0]["dea"]
    books = SapBooks(existing=(known,), mood=Mood(lost_answers=_LOST))
    async with serve_sap(books) as sap_url, serve_federal(federal()) as federal_url:
        yield Outside({SAP_URL: sap_url, FEDERAL_URL: federal_url}, books)


def federal() -> Federal:
    """The federal database: every member of a roster, and what the sample says besides and otherwise."""
    content = yaml.safe_load((files("services.chargebacks") / "sample" / "federal.yaml").read_text())
    members = [member for members in shipped("rosters").values() for member in members]
    registrations = {member["dea"]: {"name": member["name"]} for member in members} | content["registrations"]
    return Federal(
        {number: Registered.model_validate(one) for number, one in registrations.items()},
        {number: Registered.model_validate(one) for number, one in content["covered_entities"].items()},
    )


async def play(system: System, outside: Outside, *, show: Any = None) -> Played:
    """Send every document, what comes again after the rest, and wait for the end of all."""
    parts, known = system.parts, list(samples())
    by_reference = {sample.document.reference: sample for sample in known}
    async with httpx2.AsyncClient(base_url=system.api_url, trust_env=False) as api:
        reviewing = asyncio.create_task(_review(parts, api, by_reference), name="reviewers")
        started: dict[str, Sample] = {}
        for wave in (1, 2):
            started |= await _play_wave(parts, [one for one in known if one.wave == wave], wave, show)
        reviewing.cancel()
        with suppress(asyncio.CancelledError):
            await reviewing
        trail = (await api.get("/api/v1/chargebacks/trail")).text
    return await _result(parts, started, outside.world, trail)


async def _play_wave(parts: Parts, sent: Sequence[Sample], wave: int, show: Any) -> dict[str, Sample]:
    label = {"wave": str(wave)}

    def start(one: Sample) -> Start:
        async def begin() -> str:
            options = StartOptions(idempotency_key=f"chargeback {one.document.reference}", labels=label)
            document = one.document.model_dump(mode="json")
            return (await parts.client.start(CHARGEBACK.ref, document, options)).saga_id

        return begin

    starts = [start(one) for one in sent]
    only = Filter(name=CHARGEBACK.name, labels=tuple(label.items()))
    started = await play_all(
        parts, starts, only=only, title=f"chargebacks, wave {wave}", in_flight=_IN_FLIGHT, timeout_s=_TIMEOUT_S,
        show=show,
    )  # fmt: skip
    return {saga_id: sent[number] for saga_id, number in started.items()}


async def _review(parts: Parts, api: httpx2.AsyncClient, known: dict[str, Sample]) -> None:
    """Decide every case that comes up, as its document's known answer says. What has none stays open."""
    decided: set[tuple[str, str]] = set()
    position = 0
    while True:
        cases = (await api.get("/api/v1/chargebacks/reviews", params={"limit": 200})).json()["items"]
        for case in cases:
            decision = known[case["reference"]].decisions.get(case["step"])
            place = (case["saga_id"], case["step"])
            if decision is not None and place not in decided:
                decided.add(place)
                signal = {"by": decision["reviewer"], "payload": decision}
                (await api.post(case["signal"], json=signal)).raise_for_status()
        await parts.log.projector.wait_beyond(0, position)
        position = parts.log.projector.positions[0]


async def _result(parts: Parts, started: dict[str, Sample], books: SapBooks, trail: str) -> Played:
    rows = await rows_of(parts, Filter(name=CHARGEBACK.name))
    by_status = Counter(row["status"] for row in rows)
    outputs = {saga_id: await _outputs(parts, saga_id) for saga_id in started}
    surprises = [
        f"{sample.document.name} ({saga_id}): {surprise}"
        for saga_id, sample in started.items()
        if (surprise := _surprise(sample, outputs[saga_id]))
    ]
    reviewed = [
        saga_id
        for saga_id, said in outputs.items()
        if any(
            said.get(step, {}).get("status") in {"approved", "rejected", "expired"}
            for step in ("review_extraction", "review_checks")
        )
    ]
    return Played(
        documents=len(started),
        by_status=dict(by_status),
        stuck=len(started) - sum(by_status[status.value] for status in ENDED),
        outcomes=dict(Counter(_outcome(said) for said in outputs.values())),
        reviewed=len(reviewed),
        surprises=tuple(surprises),
        trail_problems=tuple(problems(json.loads(line) for line in trail.splitlines())),
        credited=sum((memo.amount for memo in books.memos.values() if memo.state == "posted"), Decimal(0)),
        p50_ms=percentiles(rows)[0],
        shown_saga=reviewed[0] if reviewed else None,
    )


async def _outputs(parts: Parts, saga_id: str) -> dict[str, dict[str, Any]]:
    """What every step of a saga has stated."""
    facts = await parts.queries.facts(saga_id)
    completed = [one.fact for one in facts if one.fact.kind == FactKind.COMPLETED]
    return {fact.subject: fact.data["output"] for fact in completed if "output" in fact.data}


def _outcome(said: dict[str, dict[str, Any]]) -> str:
    return str(said.get("chargeback_resolution", {}).get("status", "none"))


def _surprise(sample: Sample, said: dict[str, dict[str, Any]]) -> str:
    """How a document ended otherwise than its known answer; nothing if it did not."""
    resolved = said.get("chargeback_resolution")
    if resolved is None:
        return "nothing was decided"
    claim = said["duplicate_check"]["claim"]
    if (sample.claim and Claim.model_validate(sample.claim)) != (claim and Claim.model_validate(claim)):
        return f"taken for {claim}, expected {sample.claim}"
    found = (resolved["status"], Decimal(resolved["credited"]["amount"]), tuple(resolved["reasons"]))
    expected = (sample.outcome, Decimal(sample.credited), sample.reasons)
    return "" if found == expected else f"{found}, expected {expected}"


def summary(played: Played) -> dict[str, Any]:
    """The result as one JSON object. `accuracy`: the share of documents that ended as their known answers say."""
    return {
        "documents": played.documents,
        "completed": played.by_status.get("completed", 0),
        "reviewed": played.reviewed,
        "accuracy": round(1 - len(played.surprises) / played.documents, 4) if played.documents else 0.0,
        "stuck": played.stuck,
    }


async def show(played: Played, parts: Parts) -> None:
    """The result for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("outcome", "documents", title="Chargebacks")
    for outcome, count in sorted(played.outcomes.items()):
        table.add_row(outcome, str(count))
    console.print(table)
    figures = summary(played)
    console.print(
        f"{figures['completed']} of {played.documents} documents are decided, people looked at {played.reviewed}, "
        f"{played.stuck} are stuck; {figures['accuracy']:.1%} as their known answers say; p50 {played.p50_ms:.0f} ms"
    )
    for surprise in played.surprises:
        console.print(f"  {surprise}", markup=False)
    console.print(f"SAP has credited {played.credited:,} USD")
    console.print(
        "the trail is unbroken" if not played.trail_problems else f"the trail: {played.trail_problems}"
    )
    if played.shown_saga:
        console.print(f"\none that somebody looked at, saga {played.shown_saga}:")
        for moment in timeline(await parts.queries.facts(played.shown_saga)):
            console.print(f"  {moment.offset_ms:9.1f} ms  {moment.text}", markup=False)
