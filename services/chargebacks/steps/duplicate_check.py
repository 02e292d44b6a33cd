"""Compare the claim with earlier ones of its wholesaler, and note it; undo: forget it.

Claims of one wholesaler are compared one at a time, so of two that come at once one is the first.
"""

from datetime import timedelta
from decimal import Decimal

from sqlmodel import col, or_, select

from contracts.chargeback_claims import Claim
from contracts.chargebacks import CheckDuplicate, DuplicateChecked
from events.database import one_at_a_time
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.chargebacks.duplicates import WINDOW_DAYS, Known, Verdict, judge, known_of
from services.chargebacks.tables import KnownClaim

DATABASE = StepDatabase("duplicate_check", tables=(KnownClaim,))


@action("chargebacks.duplicate_check", database=DATABASE)
async def duplicate_check(ctx: ActionContext, command: CheckDuplicate) -> DuplicateChecked:
    claim = command.claim
    if claim is None:
        # Nobody could or would say what is claimed.
        return DuplicateChecked(
            status="rejected",
            open=False,
            claim=None,
            score=0,
            of=None,
            findings=(),
            metadata=command.metadata,
        )
    verdict = await _compared(ctx, claim, command.document_hash)
    return DuplicateChecked(
        status=verdict.status,
        open=verdict.status != "duplicate",
        claim=claim,
        score=verdict.score,
        of=verdict.of,
        findings=verdict.findings,
        metadata=command.metadata | {"claim": claim.claim_number},
    )


# A rehearsal is rolled back, so that it may be the real thing.
duplicate_check.rehearsal(duplicate_check.handler)


@duplicate_check.compensation
async def forget_claim(ctx: ActionContext, command: CheckDuplicate, output: DuplicateChecked | None) -> None:
    if known := await ctx.db.get(KnownClaim, ctx.saga_id):
        await ctx.db.delete(known)


async def _compared(ctx: ActionContext, claim: Claim, document_hash: str) -> Verdict:
    await one_at_a_time(ctx.db, f"claims of {claim.wholesaler_dea}")
    new = known_of(claim, document_hash)
    verdict = judge(new, [_known(row) for row in await _candidates(ctx, claim, document_hash)])
    if verdict.status != "duplicate":
        ctx.db.add(
            KnownClaim(
                saga_id=ctx.saga_id,
                wholesaler_dea=claim.wholesaler_dea,
                claim_number=new.claim_number,
                invoice=new.invoice,
                customer=new.customer,
                sold_on=new.sold_on,
                document_hash=document_hash,
                lines=[[ndc, quantity, str(amount)] for ndc, quantity, amount in sorted(new.lines)],
            )
        )
    return verdict


async def _candidates(ctx: ActionContext, claim: Claim, document_hash: str) -> list[KnownClaim]:
    """Earlier claims of the wholesaler that can be alike: about the same time, or with a number in common."""
    window = timedelta(days=WINDOW_DAYS)
    query = select(KnownClaim).where(
        KnownClaim.wholesaler_dea == claim.wholesaler_dea,
        or_(
            col(KnownClaim.sold_on).between(claim.sold_on - window, claim.sold_on + window),
            KnownClaim.claim_number == claim.claim_number,
            KnownClaim.invoice == claim.invoice,
            KnownClaim.document_hash == document_hash,
        ),
    )
    return list((await ctx.db.exec(query)).all())


def _known(row: KnownClaim) -> Known:
    return Known(
        claim_number=row.claim_number,
        document_hash=row.document_hash,
        invoice=row.invoice,
        customer=row.customer,
        sold_on=row.sold_on,
        lines=frozenset((ndc, quantity, Decimal(amount)) for ndc, quantity, amount in row.lines),
    )


app = service_app(duplicate_check)
