"""Seller reimbursement claims: what their services are told and state. The phases and their entries are in `phases`."""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from contracts.actions import ActionContract
from contracts.events import Event
from contracts.marketplace import ClaimKind, Payout, RecordId, Sha256
from contracts.money import Amount, Money
from contracts.phases import (
    AccountConnected,
    AccountId,
    ClaimId,
    ClaimRejected,
    ClaimSubmitted,
    DetectionCompleted,
    EvidenceMatched,
    PayoutReceived,
    Percent,
    Run,
    Submission,
    SyncCompleted,
)


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClaimStatus(StrEnum):
    """Where a claim stands. From `parked` on it is at its end."""

    FOUND = "found"
    MATCHED = "matched"
    ASKED = "asked"
    SUBMITTED = "submitted"
    LEARNING = "learning"
    PAID = "paid"
    PARKED = "parked"
    DECLINED = "declined"
    EXPIRED = "expired"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    RECOVERED = "recovered"


UNDER_WAY = frozenset(
    {
        ClaimStatus.FOUND,
        ClaimStatus.MATCHED,
        ClaimStatus.ASKED,
        ClaimStatus.SUBMITTED,
        ClaimStatus.LEARNING,
        ClaimStatus.PAID,
    }
)


class RejectionReason(StrEnum):
    """What a rejection comes down to, whatever its words."""

    MORE_EVIDENCE = "more_evidence"
    QUANTITY = "quantity"
    OTHER_PRODUCT = "other_product"
    ALREADY_SETTLED = "already_settled"
    OUT_OF_WINDOW = "out_of_window"
    POLICY = "policy"
    UNKNOWN = "unknown"


class EnterPhase(_Contract):
    """Check and note that a phase is entered; `entry` is what its saga was started with."""

    phase: int = Field(ge=1, le=7)
    entry: dict[str, JsonValue]


class PhaseEntered(_Contract):
    """`waited`: it came before the phase it follows."""

    key: str
    at: AwareDatetime
    waited: bool


class OpenPhase(_Contract):
    """Enter another phase, once, whoever else does."""

    phase: int = Field(ge=1, le=7)
    entry: dict[str, JsonValue]


class PhaseOpened(_Contract):
    """`created` is false if it had been entered before."""

    saga_id: str
    created: bool


class SyncRecords(_Contract):
    account_id: AccountId


class RecordsSynced(_Contract):
    records: int
    by_kind: dict[str, int]


class DetectDiscrepancies(_Contract):
    account_id: AccountId
    run: Run


class DiscrepanciesDetected(_Contract):
    """`findings` of this run: what an earlier one had found is not counted again."""

    findings: int
    by_kind: dict[ClaimKind, int]
    amount: Money


class MatchEvidence(_Contract):
    account_id: AccountId
    run: Run


class EvidenceRanked(_Contract):
    """How many claims have evidence, and how many have none."""

    proven: int
    unproven: int


class OpenClaims(_Contract):
    """Enter phase 4 for every claim of a run."""

    account_id: AccountId
    run: Run


class ClaimsOpened(_Contract):
    claims: int


class DecideSubmission(_Contract):
    claim_id: ClaimId
    confidence: Percent


class SubmissionDecided(_Contract):
    """`submit_at` and `ask_at` are the thresholds by which it was decided, of that version of the policy."""

    decision: Literal["submit", "ask", "park"]
    policy_version: int
    submit_at: Percent
    ask_at: Percent


class AskSeller(_Contract):
    claim_id: ClaimId


class SellerAnswered(_Contract):
    answer: Literal["submit", "decline", "expired"]
    reminders: int


class SubmitClaim(_Contract):
    """`resubmit` and `appeal` are the second submission, of a claim whose first one was rejected."""

    claim_id: ClaimId
    how: Literal["first", "resubmit", "appeal"] = "first"


class ClaimFiled(_Contract):
    submission: Submission
    case_id: RecordId
    documents: int


class TrackClaim(_Contract):
    claim_id: ClaimId
    submission: Submission
    case_id: RecordId


class ClaimTracked(_Contract):
    """How the case was decided: `reason` of a rejection, `payout` if it was paid."""

    outcome: Literal["rejected", "paid", "withdrawn"]
    reason: str = ""
    payout: Payout | None = None


class LearnFromRejection(_Contract):
    claim_id: ClaimId
    submission: Submission
    reason: str = Field(max_length=500)


class LessonLearned(_Contract):
    """`next`: what becomes of the claim."""

    reason: RejectionReason
    policy_version: int
    next: Literal["resubmit", "appeal", "stop"]


class StrengthenEvidence(_Contract):
    claim_id: ClaimId


class EvidenceStrengthened(_Contract):
    documents: int
    confidence: Percent


class ReconcilePayout(_Contract):
    claim_id: ClaimId
    case_id: RecordId
    payout_id: RecordId
    amount: Money


class PayoutReconciled(_Contract):
    """`difference` is what was paid less what was claimed and had not been paid before."""

    claimed: Money
    paid: Money
    difference: Money
    verdict: Literal["exact", "short", "over"]


class ChargeFee(_Contract):
    claim_id: ClaimId
    payout_id: RecordId
    paid: Money


class FeeCharged(_Contract):
    """`fee` and `seller_share` sum to what was paid, to the cent."""

    rate: Amount
    fee: Money
    seller_share: Money


class WritePacket(_Contract):
    claim_id: ClaimId
    payout_id: RecordId


class PacketWritten(_Contract):
    """The proof packet as a PDF; `evidence` is how many documents and records it lists."""

    sha256: Sha256
    size_bytes: int
    pages: int
    evidence: int


NotificationKind = Literal[
    "phase_entered", "question", "reminder",
    "question_expired", "claim_parked", "claim_submitted", "claim_withdrawn", "case_status",
    "claim_rejected", "claim_resubmitted", "payout_received", "packet_ready",
]  # fmt: skip


class SellerNotified(Event, name="claims.seller_notified"):
    """What the seller is told, live. The key is the account's id. `kind` is stable, `text` is for people."""

    account_id: AccountId
    kind: NotificationKind
    text: str = Field(max_length=500)
    phase: int = Field(ge=1, le=7)
    claim_id: ClaimId | None = None
    details: dict[str, JsonValue] = Field(default_factory=dict)


def _action(
    verb: str,
    given: type[BaseModel],
    stated: type[BaseModel],
    description: str,
    *,
    compensable: bool = False,
    tells: bool = False,
) -> ActionContract:
    return ActionContract(
        name=f"claims.{verb}",
        input=given,
        output=stated,
        description=description,
        compensable=compensable,
        emits=(SellerNotified,) if tells else (),
    )


ACTIONS: tuple[ActionContract, ...] = (
    _action(
        "enter_phase", EnterPhase, PhaseEntered, "Check the order of phases and note the entry.", tells=True
    ),
    _action("open_phase", OpenPhase, PhaseOpened, "Enter another phase."),
    _action("sync_records", SyncRecords, RecordsSynced, "Fetch the account's records from the marketplace."),
    _action("detect_discrepancies", DetectDiscrepancies, DiscrepanciesDetected, "Find what can be claimed."),
    _action("match_evidence", MatchEvidence, EvidenceRanked, "Match invoices to claims."),
    _action("open_claims", OpenClaims, ClaimsOpened, "Enter phase 4 for every claim."),
    _action(
        "decide_submission",
        DecideSubmission,
        SubmissionDecided,
        "Submit, ask the seller, or park; undo: give the claim up.",
        compensable=True,
        tells=True,
    ),
    _action("ask_seller", AskSeller, SellerAnswered, "Wait for the seller, and remind.", tells=True),
    _action(
        "submit_claim",
        SubmitClaim,
        ClaimFiled,
        "Submit the claim; undo: withdraw it.",
        compensable=True,
        tells=True,
    ),
    _action("track_claim", TrackClaim, ClaimTracked, "Follow the case until it is decided.", tells=True),
    _action(
        "learn_from_rejection",
        LearnFromRejection,
        LessonLearned,
        "Classify the rejection and adapt the thresholds; undo: leave the claim rejected.",
        compensable=True,
        tells=True,
    ),
    _action("strengthen_evidence", StrengthenEvidence, EvidenceStrengthened, "Match evidence once more."),
    _action(
        "reconcile_payout",
        ReconcilePayout,
        PayoutReconciled,
        "Compare what was paid with the claim.",
        tells=True,
    ),
    _action("charge_fee", ChargeFee, FeeCharged, "Compute the fee on a payout."),
    _action("write_packet", WritePacket, PacketWritten, "Write the proof packet.", tells=True),
)

__all__ = [
    "ACTIONS", "AccountConnected", "ClaimRejected", "ClaimSubmitted", "DetectionCompleted", "EvidenceMatched",
    "PayoutReceived", "SyncCompleted",
]  # fmt: skip
