"""`/api/v1/claims`: claims, why they are believed, what became of them; the seller's answers; proof packets."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.claims import ClaimStatus
from contracts.failure import Conflict, NotFound
from contracts.marketplace import ClaimKind
from contracts.money import Money
from contracts.phases import ClaimId
from events.clock import Clock
from events.database import Database
from saga.client import SagaClient
from saga.cursors import fingerprint, read_cursor, write_cursor
from services.claims.store import evidence_of, reading
from services.claims.tables import CaseChange, Claim, Packet, PayoutEntry, PolicyVersion, Question

_ClaimId = Annotated[ClaimId, Path(examples=["C-0123456789ABCDEF"])]


class ClaimShown(BaseModel):
    claim_id: str
    account_id: str
    run: str
    kind: ClaimKind
    sku: str
    quantity: int
    amount: Money
    status: ClaimStatus
    confidence: int
    submission: int
    case_id: str
    case_status: str
    updated_at: AwareDatetime

    @classmethod
    def of(cls, claim: Claim) -> "ClaimShown":
        return cls.model_validate(claim.model_dump(exclude={"on", "records"}) | {"amount": claim.money})


class EvidenceShown(BaseModel):
    """`parts`: the points that sum to the score, and why."""

    invoice_id: str
    sha256: str
    quantity: int
    score: int
    parts: list[dict[str, Any]]


class PayoutShown(BaseModel):
    payout_id: str
    claimed: Money
    paid: Money
    difference: Money
    verdict: str
    fee: Money | None
    seller_share: Money | None

    @classmethod
    def of(cls, row: PayoutEntry) -> "PayoutShown":
        amounts = {
            name: None
            if (amount := getattr(row, name)) is None
            else Money(amount=amount, currency=row.currency)
            for name in ("claimed", "paid", "difference", "fee", "seller_share")
        }
        return cls.model_validate({"payout_id": row.payout_id, "verdict": row.verdict, **amounts})


class CaseMoment(BaseModel):
    case_id: str
    status: str
    at: AwareDatetime


class ClaimStory(ClaimShown):
    """A claim with everything that belongs to it."""

    records: list[str]
    evidence: list[EvidenceShown]
    cases: list[CaseMoment]
    payouts: list[PayoutShown]
    packet_sha256: str | None


class ClaimPage(BaseModel):
    items: list[ClaimShown]
    next_cursor: str | None


class AnswerRequest(BaseModel):
    """The seller's word on a claim."""

    model_config = ConfigDict(extra="forbid")

    answer: Literal["submit", "decline"]
    by: str = Field(min_length=1, max_length=128)


class PolicyShown(BaseModel):
    kind: ClaimKind
    version: int
    thresholds: dict[str, int]
    claim_id: str
    reason: str
    words: str
    at: AwareDatetime


class PolicyList(BaseModel):
    """Every lesson, oldest first; what was never taught goes by the thresholds of version 1."""

    items: list[PolicyShown]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account_id: str | None = None
    status: ClaimStatus | None = None
    kind: ClaimKind | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


def router(database: Database, client: SagaClient, clock: Clock) -> APIRouter:
    """The routes over the claims' database."""
    routes = APIRouter(prefix="/api/v1/claims", tags=["claims"])

    @routes.get("", operation_id="listClaims")
    async def page(asked: Annotated[_Wanted, Query()]) -> ClaimPage:
        filters = asked.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
        question = fingerprint(("claims", sorted(filters.items())))
        after = read_cursor(asked.cursor, question, 1)[0] if asked.cursor else ""
        query = select(Claim).where(col(Claim.claim_id) > after).filter_by(**filters)
        async with reading(database) as session:
            rows = (await session.exec(query.order_by(col(Claim.claim_id)).limit(asked.limit + 1))).all()
        items = [ClaimShown.of(row) for row in rows[: asked.limit]]
        more = len(rows) > asked.limit
        return ClaimPage(
            items=items, next_cursor=write_cursor([items[-1].claim_id], question) if more else None
        )

    @routes.get("/policies", operation_id="listLessons")
    async def lessons() -> PolicyList:
        query = select(PolicyVersion).order_by(col(PolicyVersion.at), col(PolicyVersion.version))
        async with reading(database) as session:
            rows = (await session.exec(query)).all()
        return PolicyList(items=[PolicyShown.model_validate(row, from_attributes=True) for row in rows])

    @routes.get("/{claim_id}", operation_id="getClaim")
    async def get(claim_id: _ClaimId) -> ClaimStory:
        async with reading(database) as session:
            return await _story(session, await _known(session, claim_id))

    @routes.post("/{claim_id}/answer", status_code=202, operation_id="answerQuestion")
    async def answer(claim_id: _ClaimId, body: AnswerRequest) -> ClaimShown:
        """The first answer counts; the same one again is accepted."""
        async with database.transaction() as session:
            claim = await _known(session, claim_id)
            question = await session.get(Question, claim_id, with_for_update=True)
            if question is None:
                raise Conflict(f"claim {claim_id}: nothing is asked about it")
            if question.answer not in ("", body.answer):
                raise Conflict(f"claim {claim_id}: the answer was {question.answer}")
            if not question.answer:
                question.answer, question.by, question.answered_at = body.answer, body.by, clock()
                session.add(question)
        await client.signal(question.saga_id, question.step, {"answer": body.answer}, by=body.by)
        return ClaimShown.of(claim)

    @routes.get("/{claim_id}/packet", operation_id="getPacket", response_class=Response)
    async def packet(claim_id: _ClaimId) -> Response:
        async with reading(database) as session:
            await _known(session, claim_id)
            found = await session.get(Packet, claim_id)
        if found is None:
            raise NotFound(f"claim {claim_id} has no packet: it is written when a payout is reconciled")
        headers = {
            "ETag": f'"{found.sha256}"',
            "Content-Disposition": f'attachment; filename="{claim_id}.pdf"',
        }
        return Response(found.pdf, media_type="application/pdf", headers=headers)

    return routes


async def _known(session: AsyncSession, claim_id: str) -> Claim:
    claim = await session.get(Claim, claim_id)
    if claim is None:
        raise NotFound(f"no claim {claim_id}")
    return claim


async def _story(session: AsyncSession, claim: Claim) -> ClaimStory:
    cases = select(CaseChange).where(CaseChange.claim_id == claim.claim_id).order_by(col(CaseChange.at))
    payouts = select(PayoutEntry).where(PayoutEntry.claim_id == claim.claim_id)
    packet = await session.get(Packet, claim.claim_id)
    return ClaimStory(
        **ClaimShown.of(claim).model_dump(),
        records=claim.records,
        evidence=[
            EvidenceShown.model_validate(one, from_attributes=True)
            for one in await evidence_of(session, claim.claim_id)
        ],
        cases=[
            CaseMoment.model_validate(one, from_attributes=True) for one in (await session.exec(cases)).all()
        ],
        payouts=[PayoutShown.of(one) for one in (await session.exec(payouts)).all()],
        packet_sha256=packet.sha256 if packet else None,
    )
