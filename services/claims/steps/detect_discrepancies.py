"""Look for what the marketplace owes: every finding is a claim. No record is claimed twice, whichever run finds it."""

import asyncio
from collections import Counter
from decimal import Decimal

from sqlmodel import select

from contracts.claims import DetectDiscrepancies, DiscrepanciesDetected
from contracts.marketplace import CURRENCY, ClaimKind
from contracts.money import Money
from events.database import one_at_a_time
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.findings import detect
from services.claims.store import records_of
from services.claims.tables import DATABASE, Claim


@action("claims.detect_discrepancies", database=DATABASE)
async def detect_discrepancies(ctx: ActionContext, command: DetectDiscrepancies) -> DiscrepanciesDetected:
    await one_at_a_time(ctx.db, f"detection {command.account_id}")
    known = (await ctx.db.exec(select(Claim).where(Claim.account_id == command.account_id))).all()
    claimed = {record for claim in known for record in claim.records}
    findings = await asyncio.to_thread(detect, await records_of(ctx.db, command.account_id), claimed)
    new = [
        Claim(
            claim_id=one.claim_id(command.account_id),
            account_id=command.account_id,
            run=command.run,
            kind=one.kind.value,
            sku=one.sku,
            quantity=one.quantity,
            amount=one.amount,
            currency=CURRENCY,
            on=one.on,
            records=list(one.records),
            updated_at=ctx.now(),
        )
        for one in findings
    ]
    ctx.db.add_all(new)
    by_kind = Counter(claim.kind for claim in new)
    return DiscrepanciesDetected(
        findings=len(new),
        by_kind={ClaimKind(kind): count for kind, count in by_kind.items()},
        amount=Money(amount=sum((claim.amount for claim in new), Decimal(0)), currency=CURRENCY),
    )


app = service_app(detect_discrepancies)
