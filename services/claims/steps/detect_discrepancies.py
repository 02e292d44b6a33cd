"""Look for what the marketplace owes: every finding becomes a claim, once, whichever run finds it."""

from collections import Counter
from decimal import Decimal

from sqlmodel import select

from contracts.claims import DetectDiscrepancies, DiscrepanciesDetected
from contracts.marketplace import CURRENCY, ClaimKind
from contracts.money import Money
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.findings import detect
from services.claims.store import records_of
from services.claims.tables import DATABASE, Claim


@action("claims.detect_discrepancies", database=DATABASE)
async def detect_discrepancies(ctx: ActionContext, command: DetectDiscrepancies) -> DiscrepanciesDetected:
    found = {
        one.claim_id(command.account_id): one for one in detect(await records_of(ctx.db, command.account_id))
    }
    query = select(Claim.claim_id).where(Claim.account_id == command.account_id)
    known = set((await ctx.db.exec(query)).all())
    new = [
        Claim(
            claim_id=claim_id, account_id=command.account_id, run=command.run, kind=one.kind.value, sku=one.sku,
            quantity=one.quantity, amount=one.amount, currency=CURRENCY, on=one.on, records=list(one.records),
            updated_at=ctx.now(),
        )
        for claim_id, one in found.items()
        if claim_id not in known
    ]  # fmt: skip
    ctx.db.add_all(new)
    by_kind = Counter(claim.kind for claim in new)
    return DiscrepanciesDetected(
        findings=len(new),
        by_kind={ClaimKind(kind): count for kind, count in by_kind.items()},
        amount=Money(amount=sum((claim.amount for claim in new), Decimal(0)), currency=CURRENCY),
    )


app = service_app(detect_discrepancies)
