"""Read the claim from the document: by rules, or by a model where one is configured.

A model's answer counts only if it is whole, consistent and stands in the document. Otherwise the rules have their
say; a claim that they find whole wins. A model that is away costs nothing but a note.
"""

import asyncio

from pydantic import ValidationError

from contracts.chargeback_claims import Claim, ClaimDraft
from contracts.chargebacks import ChargebackDocument, ExtractIdentifiers, Finding, IdentifiersExtracted
from saga.action import ActionContext, action
from saga.breaker import BreakerOpen
from saga.service import service_app
from services.chargebacks.documents import UnreadableError, document_hash, text_of
from services.chargebacks.extraction.check import check_draft, malformed, not_in_document
from services.chargebacks.extraction.model import Model, ModelUnavailable, configured_model
from services.chargebacks.extraction.sheet import read_sheet
from services.chargebacks.extraction.text import read_text
from services.chargebacks.findings import few, finding

type Reading = tuple[Claim | None, ClaimDraft, tuple[Finding, ...]]


@action("chargebacks.extract_identifiers", resource=configured_model, reads_only=True)
async def extract_identifiers(ctx: ActionContext, command: ExtractIdentifiers) -> IdentifiersExtracted:
    method = "rules"
    try:
        # Reading takes time of the processor, and other sagas wait for none of it.
        text = await asyncio.to_thread(text_of, command)
    except UnreadableError as error:
        unreadable = finding("extraction.unreadable", "review", str(error))
        return _stated(command, method, (None, ClaimDraft(), (unreadable,)))
    reading, notes = await asyncio.to_thread(by_rules, command, text), tuple[Finding, ...]()
    if ctx.resource is not None:
        asked = await _by_model(ctx, ctx.resource, text)
        if isinstance(asked, Finding):
            notes = (asked,)
        elif asked[0] is not None or reading[0] is None:
            method, reading = "model", asked
    return _stated(command, method, reading, notes)


def by_rules(document: ChargebackDocument, text: str) -> Reading:
    """What the rules read."""
    try:
        draft = read_sheet(text) if document.media_type == "text/csv" else read_text(text)
    except ValidationError as error:
        # Too many lines, or words too long, to be any claim.
        return None, ClaimDraft(), few(malformed(error))
    claim, findings = check_draft(draft)
    return claim, draft, findings


async def _by_model(ctx: ActionContext, model: Model, text: str) -> Reading | Finding:
    """What the model reads, checked; or why it has read nothing."""
    try:
        async with ctx.breaker("extraction-model"):
            draft = await model.read(text)
    except (ModelUnavailable, BreakerOpen) as error:
        ctx.log.warning("extraction.model_unavailable", reason=str(error))
        return finding("extraction.model_unavailable", "note", str(error))
    if invented := not_in_document(draft, text):
        return None, draft, invented
    claim, findings = check_draft(draft)
    return claim, draft, findings


def _stated(
    command: ExtractIdentifiers, method: str, reading: Reading, notes: tuple[Finding, ...] = ()
) -> IdentifiersExtracted:
    claim, draft, findings = reading
    return IdentifiersExtracted.model_validate(
        {
            "status": "complete" if claim else "incomplete",
            "method": method,
            "document_hash": document_hash(command),
            "claim": claim,
            "draft": draft,
            "findings": (*findings, *notes),
            "metadata": command.metadata | {"extracted_by": method},
        }
    )


app = service_app(extract_identifiers)
