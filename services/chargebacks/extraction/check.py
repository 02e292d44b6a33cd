"""The deterministic check of what was read, whoever read it: complete, well-formed, consistent, and in the document.

A claim whose figures contradict each other is not complete: what is meant is for a person to say.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

from pydantic import ValidationError

from contracts.chargeback_claims import Claim, ClaimDraft, normal_ndc
from contracts.chargebacks import Finding
from services.chargebacks.findings import few, finding

ROUNDING = Decimal("0.01")
_REQUIRED = (
    "claim_number", "wholesaler", "wholesaler_dea", "customer", "contract", "invoice", "sold_on", "lines", "total",
)  # fmt: skip
_IN_THE_DOCUMENT = (
    "claim_number", "wholesaler", "wholesaler_dea", "customer", "customer_dea", "customer_hin", "covered_entity",
    "contract", "invoice",
)  # fmt: skip


def check_draft(draft: ClaimDraft) -> tuple[Claim | None, tuple[Finding, ...]]:
    """The claim, if the draft is one, and what is wrong with it otherwise."""
    missing = tuple(
        finding("extraction.missing", "review", f"{field} was not found", f"/{field}")
        for field in _REQUIRED
        if not getattr(draft, field)
    )
    if missing:
        return None, missing
    try:
        claim = claim_of(draft)
    except ValidationError as error:
        return None, few(malformed(error))
    inconsistent = few(_inconsistent(claim))
    return (None if inconsistent else claim), inconsistent


def claim_of(draft: ClaimDraft) -> Claim:
    """The draft as a claim. Raises ValidationError."""
    said = {name: value for name, value in draft.model_dump().items() if value is not None}
    return Claim.model_validate(said)


def not_in_document(draft: ClaimDraft, text: str) -> tuple[Finding, ...]:
    """What a model says that the document does not: each field, code and figure must stand in it."""
    plain = _plain(text)
    found = [
        finding(
            "extraction.not_in_document",
            "review",
            f"{field} {value!r} does not stand in the document",
            f"/{field}",
        )
        for field in _IN_THE_DOCUMENT
        if (value := getattr(draft, field)) and _plain(value) not in plain
    ]
    if draft.currency and draft.currency not in text and not (draft.currency == "USD" and "$" in text):
        found.append(_unheard_of("/currency", draft.currency))
    codes = {code for written in re.findall(r"\d[\d-]{9,12}", text) if (code := _code(written))}
    figures = {Decimal(figure.replace(",", "")) for figure in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
    for index, line in enumerate(draft.lines):
        if line.ndc and _code(line.ndc) not in codes:
            found.append(_unheard_of(f"/lines/{index}/ndc", line.ndc))
        found += [
            _unheard_of(f"/lines/{index}/{field}", str(value))
            for field in ("quantity", "wac", "contract_price", "amount")
            if (value := getattr(line, field)) is not None and value not in figures
        ]
    return few(found)


def _inconsistent(claim: Claim) -> Iterator[Finding]:
    for index, line in enumerate(claim.lines):
        if abs(line.difference - line.amount) > ROUNDING:
            said = f"{line.quantity} x ({line.wac} - {line.contract_price}) is {line.difference}, not {line.amount}"
            yield finding("extraction.inconsistent", "review", said, f"/lines/{index}/amount")
    total = sum(line.amount for line in claim.lines)
    if abs(total - claim.total) > ROUNDING:
        yield finding(
            "extraction.inconsistent", "review", f"the lines make {total}, not {claim.total}", "/total"
        )


def malformed(error: ValidationError) -> Iterator[Finding]:
    """What is wrong with a value, place by place."""
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place = "/" + "/".join(map(str, problem["loc"]))
        yield finding("extraction.malformed", "review", problem["msg"], place)


def _unheard_of(place: str, value: str) -> Finding:
    return finding("extraction.not_in_document", "review", f"{value} does not stand in the document", place)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).upper()


def _code(written: str) -> str | None:
    try:
        return normal_ndc(written)
    except ValueError:
        return None
