"""Enter phase 4 for every claim of a run; what has gone on meanwhile, since an earlier try, is left alone."""

from sqlmodel import col, select

from contracts.claims import ClaimsOpened, ClaimStatus, OpenClaims
from contracts.phases import EvidenceMatched
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.opening import open_saga
from services.claims.tables import DATABASE, Claim
from services.claims.telling import database_of


@action("claims.open_claims", database=DATABASE, guard=False)
async def open_claims(ctx: ActionContext, command: OpenClaims) -> ClaimsOpened:
    query = select(Claim).where(
        Claim.account_id == command.account_id, Claim.run == command.run, Claim.status == ClaimStatus.MATCHED
    )
    async with database_of(ctx).transaction() as session:
        claims = (await session.exec(query.order_by(col(Claim.claim_id)))).all()
    for claim in claims:
        entry = EvidenceMatched(
            account_id=claim.account_id, run=claim.run, claim_id=claim.claim_id, confidence=claim.confidence
        )
        await open_saga(ctx, 4, entry)
    return ClaimsOpened(claims=len(claims))


app = service_app(open_claims)
