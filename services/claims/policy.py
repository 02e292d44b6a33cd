"""By which thresholds evidence is matched and claims are decided, and how rejections change them. Pure.

A policy belongs to one kind of claim. Every lesson makes a new version; none is ever changed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from rapidfuzz import fuzz

from contracts.claims import RejectionReason
from contracts.phases import MAX_SUBMISSIONS

type Decision = Literal["submit", "ask", "park"]
type Next = Literal["resubmit", "appeal", "stop"]

_MAX_SUBMIT_AT = 97
_MAX_SIMILARITY = 95
_MAX_DOCUMENTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Thresholds, in percent. From `submit_at` on a claim is submitted, from `ask_at` on the seller is asked.

    An invoice counts if its SKU is at least `min_similarity` alike and it is at most `window_days` older than what
    it proves; at most `documents` of them go with a claim.
    """

    version: int = 1
    submit_at: int = 90
    ask_at: int = 60
    min_similarity: int = 75
    window_days: int = 365
    documents: int = 1

    def decide(self, confidence: int) -> Decision:
        if confidence >= self.submit_at:
            return "submit"
        return "ask" if confidence >= self.ask_at else "park"


_PHRASES: Mapping[RejectionReason, tuple[str, ...]] = {
    RejectionReason.ALREADY_SETTLED: (
        "already been reimbursed",
        "already been found",
        "no discrepancy",
    ),
    RejectionReason.OUT_OF_WINDOW: ("outside of the claim window", "deadline for this claim has passed"),
    RejectionReason.OTHER_PRODUCT: ("does not match the product", "different item"),
    RejectionReason.QUANTITY: ("does not cover the quantity", "quantity on the invoice"),
    RejectionReason.MORE_EVIDENCE: (
        "additional documentation",
        "unable to verify the purchase",
        "invoice is not legible",
    ),
    RejectionReason.POLICY: ("not eligible under", "policy does not allow"),
}
_ALIKE = 88.0


def classify(words: str) -> RejectionReason:
    """What a rejection comes down to: the phrase that is most like a part of it, if one is like enough."""
    said = " ".join(re.sub(r"[^a-z ]+", " ", words.lower()).split())
    scores = [
        (fuzz.partial_ratio(phrase, said), reason)
        for reason, phrases in _PHRASES.items()
        for phrase in phrases
    ]
    best, reason = max(scores, key=lambda one: one[0])
    # The shorter text is looked for in the longer one: a single word of it would be part of every phrase.
    return reason if best >= _ALIKE and len(said) >= 12 else RejectionReason.UNKNOWN


def learned(policy: Policy, reason: RejectionReason) -> Policy:
    """The policy after a rejection: the next version, or the same if there is nothing to change."""
    match reason:
        case RejectionReason.MORE_EVIDENCE:
            changed = replace(
                policy,
                submit_at=_raised(policy.submit_at, _MAX_SUBMIT_AT),
                documents=_raised(policy.documents, _MAX_DOCUMENTS),
            )
        case RejectionReason.QUANTITY:
            changed = replace(policy, documents=_raised(policy.documents, _MAX_DOCUMENTS))
        case RejectionReason.OTHER_PRODUCT:
            changed = replace(policy, min_similarity=_raised(policy.min_similarity, _MAX_SIMILARITY))
        case RejectionReason.ALREADY_SETTLED:
            changed = replace(policy, submit_at=_raised(policy.submit_at, _MAX_SUBMIT_AT))
        case RejectionReason.OUT_OF_WINDOW | RejectionReason.POLICY | RejectionReason.UNKNOWN:
            # The rule is the marketplace's, or its words are not understood: other evidence would not help.
            changed = policy
    return policy if changed == policy else replace(changed, version=policy.version + 1)


def _raised(value: int, most: int) -> int:
    return min(most, value + 1) if value < most else value


_NEXT: Mapping[RejectionReason, Next] = {
    RejectionReason.MORE_EVIDENCE: "resubmit",
    RejectionReason.QUANTITY: "resubmit",
    RejectionReason.OTHER_PRODUCT: "resubmit",
    RejectionReason.OUT_OF_WINDOW: "appeal",
    RejectionReason.POLICY: "appeal",
}


def next_of(reason: RejectionReason, submission: int) -> Next:
    """What becomes of a rejected claim: once more with better evidence, or with an appeal, or nothing."""
    return _NEXT.get(reason, "stop") if submission < MAX_SUBMISSIONS else "stop"
