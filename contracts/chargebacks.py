"""Chargebacks: what each of the eight steps, and the review of what they find, is told and states.

A wholesaler sold below its list price under somebody's contract, and claims the difference from the manufacturer.
Every step states its `status`, its `findings` and the `metadata` it was given, so that later steps and the
trail know what earlier ones thought.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from contracts.actions import ActionContract
from contracts.chargeback_claims import Claim, ClaimDraft, ClaimLine
from contracts.events import Event
from contracts.money import Amount, Money

MAX_CONTENT = 120_000
REVIEW_TIMEOUT_S = 7 * 86_400.0

MediaType = Literal["text/plain", "text/csv", "application/pdf"]
Severity = Literal["note", "review", "deny"]
CheckStatus = Literal["clear", "review", "denied"]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _merged(given: Any) -> Any:
    """What several steps pass on, as one; a step that was skipped passes nothing on."""
    if not isinstance(given, list | tuple):
        return given or {}
    merged: dict[str, Any] = {}
    for one in given:
        if one is not None and not isinstance(one, Mapping):
            raise ValueError("metadata is one object, or a list of them")
        merged |= one or {}
    return merged


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=256)]],
    Field(max_length=64),
    BeforeValidator(_merged),
]


class Finding(_Contract):
    """What a step found. `review` wants a person to look, `deny` denies the claim, `note` is only told."""

    code: str = Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$", max_length=64)
    severity: Severity
    message: str = Field(max_length=500)
    place: str = Field(default="", max_length=120, description="JSON pointer into the claim")


Findings = Annotated[tuple[Finding, ...], Field(max_length=400), BeforeValidator(lambda given: given or ())]


class ChargebackDocument(_Contract):
    """The input of the saga: a document as it came. A PDF's content is base64, other content is text."""

    reference: str = Field(min_length=1, max_length=64, description="the sender's own reference")
    name: str = Field(min_length=1, max_length=200, description="the file's name")
    media_type: MediaType
    content: str = Field(max_length=MAX_CONTENT)
    metadata: Metadata = Field(default_factory=dict, description="passed on to every step")


class ExtractIdentifiers(ChargebackDocument):
    """The document to read."""


class IdentifiersExtracted(_Contract):
    """`claim` is there if the document says everything a claim needs, and says it consistently."""

    status: Literal["complete", "incomplete"]
    method: Literal["rules", "model"]
    document_hash: Hash
    claim: Claim | None
    draft: ClaimDraft
    findings: Findings
    metadata: Metadata


class Check(_Contract):
    """What a step has found. One that was due but has no findings has not answered."""

    step: str
    due: bool
    findings: tuple[Finding, ...] | None


class Review(_Contract):
    """Ask a person, if any finding wants that and none denies the claim. Unanswered it ends as `expired`."""

    reference: str
    name: str
    claim: Claim | None = None
    draft: ClaimDraft | None = None
    checks: tuple[Check, ...]
    timeout_s: float = Field(default=REVIEW_TIMEOUT_S, gt=0, le=365 * 86_400)
    metadata: Metadata = Field(default_factory=dict)


class Decision(_Contract):
    """The payload of the signal by which a person decides."""

    decision: Literal["approve", "reject"]
    reviewer: str = Field(min_length=1, max_length=128)
    reason: str = Field(default="", max_length=500)
    corrections: dict[str, Any] = Field(
        default_factory=dict, description="fields of the claim, as they should be"
    )


class Reviewed(_Contract):
    """`payable` unless something denies the claim. What a person has approved is a note from now on."""

    status: Literal["not_needed", "approved", "rejected", "expired"]
    payable: bool
    claim: Claim | None
    reviewer: str = ""
    findings: Findings
    metadata: Metadata


class CheckDuplicate(_Contract):
    claim: Claim | None
    document_hash: Hash
    reference: str
    metadata: Metadata = Field(default_factory=dict)


class DuplicateChecked(_Contract):
    """`score` is the likeness to the most similar earlier claim, in percent; `of` is that claim's number.

    `open`: there is a claim, and it is no duplicate, so it is worth checking further.
    """

    status: Literal["new", "suspect", "duplicate", "rejected"]
    open: bool
    claim: Claim | None
    score: int = Field(ge=0, le=100)
    of: str | None
    findings: Findings
    metadata: Metadata


class CheckContract(_Contract):
    claim: Claim
    metadata: Metadata = Field(default_factory=dict)


class EligibleLine(_Contract):
    """What of a line may be credited, and why not all of it."""

    ndc: str
    claimed: Amount
    eligible: Amount
    reason: str = ""


class ContractChecked(_Contract):
    """`roster_due` and `federal_due` say which of the other validations the contract asks for."""

    status: CheckStatus
    kind: Literal["gpo", "direct", "federal", "340b"] | None
    gpo: str | None
    roster_due: bool
    federal_due: bool
    lines: tuple[EligibleLine, ...]
    eligible: Amount
    findings: Findings
    metadata: Metadata


class ValidateRoster(_Contract):
    claim: Claim
    gpo: str
    metadata: Metadata = Field(default_factory=dict)


class RosterValidated(_Contract):
    """`member` is the member's number; `score` the likeness of the names, in percent."""

    status: CheckStatus
    member: str | None
    score: int = Field(ge=0, le=100)
    findings: Findings
    metadata: Metadata


class ValidateFederal(_Contract):
    claim: Claim
    kind: Literal["gpo", "direct", "federal", "340b"]
    metadata: Metadata = Field(default_factory=dict)


class FederalValidated(_Contract):
    status: CheckStatus
    registration: str | None = Field(
        description="state of the customer's registration, as the database tells it"
    )
    findings: Findings
    metadata: Metadata


class CreateSapCustomer(_Contract):
    claim: Claim
    metadata: Metadata = Field(default_factory=dict)


class SapCustomerCreated(_Contract):
    status: Literal["created", "existing"]
    customer_number: str
    metadata: Metadata


class ResolveChargeback(_Contract):
    """`eligible` and `customer_number` are there if the claim is payable."""

    reference: str
    claim: Claim | None
    payable: bool
    eligible: Amount | None
    lines: tuple[EligibleLine, ...] | None
    customer_number: str | None
    findings: Findings
    metadata: Metadata = Field(default_factory=dict)


class ChargebackResolved(_Contract):
    """`adjusted` is credited in part. `reasons` are the codes of what denied or reduced it."""

    status: Literal["credited", "adjusted", "denied"]
    credited: Money
    reasons: tuple[str, ...]
    credit_memo: str | None
    metadata: Metadata


class TrailEntry(_Contract):
    """What one step said. A step that was skipped, or failed without stopping the saga, said nothing."""

    step: str
    status: str | None
    findings: Findings = ()


class RecordTrail(_Contract):
    reference: str
    document_hash: Hash
    claim: Claim | None
    outcome: Literal["credited", "adjusted", "denied"]
    credited: Money
    credit_memo: str | None
    reviewers: tuple[str, ...] = ()
    entries: tuple[TrailEntry, ...]
    metadata: Metadata = Field(default_factory=dict)


class TrailRecorded(_Contract):
    """`number` counts the trail's documents; `hash` chains this one to the one before."""

    number: int
    hash: Hash


class ResolutionTold(Event, name="chargebacks.resolved"):
    """A chargeback has been decided. The key is the saga's id."""

    reference: str
    outcome: Literal["credited", "adjusted", "denied"]
    credited: Money
    credit_memo: str | None
    reasons: tuple[str, ...]
    resolved_at: AwareDatetime


class ResolutionReversed(Event, name="chargebacks.reversed"):
    """The decision does not stand any more; its credit memo, if there was one, is reversed."""

    reference: str
    credit_memo: str | None


__all__ = ["ACTIONS", "Claim", "ClaimDraft", "ClaimLine"]


def _action(
    verb: str,
    given: type[BaseModel],
    stated: type[BaseModel],
    description: str,
    *,
    compensable: bool = False,
    emits: tuple[type[Event], ...] = (),
    reads_only: bool = False,
) -> ActionContract:
    return ActionContract(
        name=f"chargebacks.{verb}", input=given, output=stated, compensable=compensable, emits=emits,
        description=description, reads_only=reads_only,
    )  # fmt: skip


ACTIONS: tuple[ActionContract, ...] = (
    _action(
        "extract_identifiers", ExtractIdentifiers, IdentifiersExtracted,
        "Read the claim from the document, by rules or by a model, and check it.",
        reads_only=True,
    ),
    _action(
        "review", Review, Reviewed,
        "Ask a person where a finding wants that; undo: take the case from the queue.",
        compensable=True,
    ),
    _action(
        "duplicate_check", CheckDuplicate, DuplicateChecked,
        "Compare with earlier claims and note this one; undo: forget it.",
        compensable=True,
    ),
    _action(
        "contract_eligibility", CheckContract, ContractChecked,
        "Check contract, period, products and prices, line by line.",
        reads_only=True,
    ),
    _action(
        "gpo_roster_validation", ValidateRoster, RosterValidated,
        "Check that the customer was a member of the purchasing organization.",
        reads_only=True,
    ),
    _action(
        "federal_db_validation", ValidateFederal, FederalValidated,
        "Check the customer's registration in the federal database.",
        reads_only=True,
    ),
    _action(
        "sap_customer_creation", CreateSapCustomer, SapCustomerCreated,
        "Make sure that SAP has the customer; undo: withdraw it, unless others need it.",
        compensable=True,
    ),
    _action(
        "chargeback_resolution", ResolveChargeback, ChargebackResolved,
        "Decide, and have SAP credit what is due; undo: have it reversed.",
        compensable=True,
        emits=(ResolutionTold, ResolutionReversed),
    ),
    _action(
        "compliance_trail", RecordTrail, TrailRecorded,
        "Chain what was said and decided to the trail; undo: note there that it was withdrawn.",
        compensable=True,
    ),
)  # fmt: skip
