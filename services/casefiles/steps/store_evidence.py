"""Store what was found in the casefile; undo: remove it."""

from contracts.casefiles import EvidenceStored, StoreEvidence
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles import evidence
from services.casefiles.tables import DATABASE


@action("casefiles.store_evidence", database=DATABASE)
async def store_evidence(ctx: ActionContext, command: StoreEvidence) -> EvidenceStored:
    place = evidence.place_of(ctx, command.casefile_id, command.user_id)
    casefile = await evidence.casefile_at(ctx.db, place, writing=True)
    items: list[evidence.Item] = [*command.mails, *command.files, *command.sheets]
    await evidence.store_evidence(ctx.db, casefile, place, items, ctx.now())
    return EvidenceStored(
        casefile_id=casefile.casefile_id,
        mails=len(command.mails),
        files=len(command.files),
        sheets=len(command.sheets),
    )


# A rehearsal is rolled back, so that it may be the real thing.
store_evidence.rehearsal(store_evidence.handler)


@store_evidence.compensation
async def remove_evidence(ctx: ActionContext, command: StoreEvidence, output: EvidenceStored | None) -> None:
    await evidence.take_back_evidence(ctx.db, ctx.saga_id, ctx.step)


app = service_app(store_evidence)
