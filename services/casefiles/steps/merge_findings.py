"""Compare what mails claim with what tables book, and store the report; undo: remove it."""

from contracts.casefiles import FindingsMerged, MergeFindings
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.evidence import casefile_at, place_of, store_evidence, take_back_evidence
from services.casefiles.rules import compare
from services.casefiles.tables import DATABASE


@action("casefiles.merge_findings", database=DATABASE)
async def merge_findings(ctx: ActionContext, command: MergeFindings) -> FindingsMerged:
    place = place_of(ctx, command.casefile_id, command.user_id)
    casefile = await casefile_at(ctx.db, place, writing=True)
    report = compare(command.mails, command.files)
    (evidence_id,) = await store_evidence(ctx.db, casefile, place, [report], ctx.now())
    return FindingsMerged(casefile_id=casefile.casefile_id, evidence_id=evidence_id, report=report)


# A rehearsal is rolled back, so that it may be the real thing.
merge_findings.rehearsal(merge_findings.handler)


@merge_findings.compensation
async def remove_report(ctx: ActionContext, command: MergeFindings, output: FindingsMerged | None) -> None:
    await take_back_evidence(ctx.db, ctx.saga_id, ctx.step)


app = service_app(merge_findings)
