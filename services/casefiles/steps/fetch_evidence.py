"""Fetch what the casefile holds: of each mail, file and table what was stored last."""

from contracts.casefiles import EvidenceFetched, FetchEvidence
from contracts.evidence import File, Mail, Sheet
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.evidence import casefile_at, newest, place_of
from services.casefiles.tables import DATABASE


@action("casefiles.fetch_evidence", database=DATABASE, reads_only=True)
async def fetch_evidence(ctx: ActionContext, command: FetchEvidence) -> EvidenceFetched:
    place = place_of(ctx, command.casefile_id, command.user_id)
    casefile_id = (await casefile_at(ctx.db, place, writing=False)).casefile_id
    mails, more_mails = await newest(ctx.db, casefile_id, "mail", Mail, command.limit)
    files, more_files = await newest(ctx.db, casefile_id, "file", File, command.limit)
    sheets, more_sheets = await newest(ctx.db, casefile_id, "sheet", Sheet, command.limit)
    return EvidenceFetched(
        casefile_id=casefile_id,
        mails=mails,
        files=files,
        sheets=sheets,
        more=more_mails or more_files or more_sheets,
    )


app = service_app(fetch_evidence)
