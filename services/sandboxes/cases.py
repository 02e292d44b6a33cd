"""The marketplace sandbox's cases: how a submitted claim is decided, and how the seller hears of it."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal, Self

import httpx2
import structlog
from fastapi import HTTPException

from contracts.ids import new_saga_id
from contracts.marketplace import CURRENCY, Case, CaseRequest, CaseStatus, ClaimKind, Payout
from contracts.money import Money
from events.clock import utc_now

log = structlog.get_logger(__name__)

Mood = Literal["pays", "short", "wants_more", "out_of_window", "policy"]

NOTHING_OWED = "Our records show no discrepancy: these units have already been found or reimbursed."
WANTS_MORE = "We are unable to verify the purchase. Please provide additional documentation."
OUT_OF_WINDOW = "The request is outside of the claim window."
POLICY = "This item is not eligible under the reimbursement policy."
NO_DOCUMENT = "Please provide additional documentation: an invoice is missing or not known to us."

_TRIES = 3
_SHORT = Decimal("0.9")
_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Owed:
    """What the marketplace truly owes for some of its records, and in which mood a claim for it finds it."""

    kind: ClaimKind
    records: frozenset[str]
    quantity: int
    amount: Decimal
    mood: Mood = "pays"


@dataclass(kw_only=True)
class Webhooks:
    """Whom to tell, signed by Standard Webhooks. Of so many webhooks one gets lost: `lose_every`, 0 for none."""

    secret: str
    url: str = ""
    lose_every: int = 0
    told: int = 0
    lost: int = 0

    async def tell(self, client: httpx2.AsyncClient, case: Case) -> None:
        """Tell of a case, a few times if nobody takes it."""
        self.told += 1
        if not self.url or (self.lose_every and self.told % self.lose_every == 0):
            self.lost += 1
            return
        body = json.dumps({"type": f"case.{case.status}", "data": case.model_dump(mode="json")}).encode()
        webhook_id = f"msg-{new_saga_id()}"
        for attempt in range(1, _TRIES + 1):
            headers = self._signed(webhook_id, body) | {"Content-Type": "application/json"}
            try:
                answer = await client.post(self.url, content=body, headers=headers)
                if answer.is_success:
                    return
                reason = str(answer.status_code)
            except httpx2.HTTPError as error:
                reason = type(error).__name__
            log.info("marketplace.webhook_failed", case_id=case.case_id, attempt=attempt, reason=reason)
            await asyncio.sleep(0.05 * attempt)
        self.lost += 1

    def _signed(self, webhook_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(utc_now().timestamp())
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }


@dataclass
class Cases:
    """All cases. `think_s`: how long each of the marketplace's moves takes."""

    owed: Sequence[Owed]
    invoices: Mapping[str, str]
    webhooks: Webhooks
    think_s: float = 0.1
    requests: dict[str, CaseRequest] = field(default_factory=dict)
    _cases: dict[str, Case] = field(default_factory=dict)
    _by_key: dict[str, str] = field(default_factory=dict)
    _barred: set[str] = field(default_factory=set)
    _deciding: set[asyncio.Task[None]] = field(default_factory=set)
    _client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._deciding):
            task.cancel()
        await asyncio.gather(*self._deciding, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def all(self) -> list[Case]:
        return list(self._cases.values())

    def get(self, case_id: str) -> Case:
        """Raises HTTPException."""
        if case_id not in self._cases:
            raise HTTPException(404, f"no case {case_id}")
        return self._cases[case_id]

    def open(self, key: str, claim: CaseRequest) -> Case:
        """A case for the claim, the same for the same key. Raises HTTPException."""
        if key in self._barred:
            raise HTTPException(422, "a case with this key was withdrawn")
        if key in self._by_key:
            return self._cases[self._by_key[key]]
        if any(one.claim_id == claim.claim_id and not one.decided for one in self._cases.values()):
            raise HTTPException(409, f"claim {claim.claim_id} has an open case")
        case = Case(case_id=f"K-{len(self._cases) + 1:05d}", claim_id=claim.claim_id, status="received")
        self._cases[case.case_id] = case
        self._by_key[key], self.requests[case.case_id] = case.case_id, claim
        task = asyncio.create_task(self._decide(case.case_id, claim), name=case.case_id)
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)
        return case

    def withdraw(self, key: str) -> str:
        """Take the case of a key back, or bar the key if there is none yet. What was paid stays paid."""
        case_id = self._by_key.get(key)
        if case_id is None or self._cases[case_id].decided:
            self._barred.add(key)
            return self._cases[case_id].status if case_id else "barred"
        self._change(case_id, "withdrawn")
        return "withdrawn"

    async def _decide(self, case_id: str, claim: CaseRequest) -> None:
        await self._move(case_id, "under_review")
        reason, amount = self._judge(claim)
        if reason:
            await self._move(case_id, "rejected", reason=reason)
            return
        await self._move(case_id, "approved")
        payout = Payout(
            payout_id=case_id.replace("K", "P"),
            amount=Money(amount=amount, currency=CURRENCY),
            paid_at=utc_now(),
        )
        await self._move(case_id, "paid", payout=payout)

    async def _move(
        self, case_id: str, status: CaseStatus, *, reason: str = "", payout: Payout | None = None
    ) -> None:
        await asyncio.sleep(self.think_s)
        if self._cases[case_id].status == "withdrawn":
            return
        case = self._change(case_id, status, reason=reason, payout=payout)
        if self._client is not None:
            await self.webhooks.tell(self._client, case)

    def _change(
        self, case_id: str, status: CaseStatus, *, reason: str = "", payout: Payout | None = None
    ) -> Case:
        changed = {"status": status, "reason": reason, "payout": payout}
        self._cases[case_id] = self._cases[case_id].model_copy(update=changed)
        return self._cases[case_id]

    def _judge(self, claim: CaseRequest) -> tuple[str, Decimal]:
        """Why not, or how much."""
        owed = next(
            (one for one in self.owed if one.kind == claim.kind and one.records & set(claim.records)), None
        )
        if owed is None:
            return NOTHING_OWED, Decimal(0)
        if not claim.documents or any(
            self.invoices.get(document.invoice_id) != document.sha256 for document in claim.documents
        ):
            return NO_DOCUMENT, Decimal(0)
        again = claim.earlier is not None
        match owed.mood:
            case "wants_more" if not again or len(claim.documents) < 2:
                return WANTS_MORE, Decimal(0)
            case "out_of_window" if not claim.appeals:
                return OUT_OF_WINDOW, Decimal(0)
            case "policy":
                return POLICY, Decimal(0)
            case "short":
                return "", (owed.amount * _SHORT).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
            case _:
                return "", owed.amount
