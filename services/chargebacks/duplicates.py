"""Whether a claim was made before: every earlier claim that comes into question gets a likeness in percent.

A number that differs in one character may be a slip of the pen; one that differs in two is another number. Claims
that follow each other for the same customer are alike in much, so it takes the same products or numbers, too, to
make one suspect.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from rapidfuzz.distance import OSA

from contracts.chargeback_claims import Claim
from contracts.chargebacks import Finding
from services.chargebacks.findings import finding
from services.chargebacks.names import likeness as likeness_of_names

DUPLICATE_FROM = 95
SUSPECT_FROM = 70
WINDOW_DAYS = 14
_SLIP = 0.6
_WEIGHTS = {"claim_number": 25, "invoice": 25, "lines": 25, "customer": 15, "sold_on": 10}

type Line = tuple[str, int, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is kept of a claim to know it again."""

    claim_number: str
    document_hash: str
    invoice: str
    customer: str
    sold_on: date
    lines: frozenset[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`of` is the number of the most similar earlier claim."""

    status: Literal["new", "suspect", "duplicate"]
    score: int
    of: str | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        match self.status:
            case "new":
                return ()
            case "suspect":
                said = f"{self.score} % like claim {self.of}"
                return (finding("duplicate.suspect", "review", said),)
            case "duplicate":
                said = f"the same as claim {self.of} ({self.score} %)"
                return (finding("duplicate.certain", "deny", said),)


def known_of(claim: Claim, document_hash: str) -> Known:
    """What to keep of a claim."""
    return Known(
        claim_number=claim.claim_number,
        document_hash=document_hash,
        invoice=claim.invoice,
        customer=claim.customer,
        sold_on=claim.sold_on,
        lines=frozenset((line.ndc, line.quantity, line.amount) for line in claim.lines),
    )


def judge(new: Known, earlier: Iterable[Known]) -> Verdict:
    """What a claim is in the light of earlier ones of the same wholesaler."""
    scores = [(likeness(new, known), known.claim_number) for known in earlier]
    score, of = max(scores, default=(0, None))
    if score >= DUPLICATE_FROM:
        return Verdict(status="duplicate", score=score, of=of)
    return Verdict(status="suspect" if score >= SUSPECT_FROM else "new", score=score, of=of)


def likeness(one: Known, other: Known) -> int:
    """How alike two claims are, in percent; 100 for the same document."""
    if one.document_hash == other.document_hash:
        return 100
    days = abs((one.sold_on - other.sold_on).days)
    shares = {
        "claim_number": _same_number(one.claim_number, other.claim_number),
        "invoice": _same_number(one.invoice, other.invoice),
        "lines": len(one.lines & other.lines) / len(one.lines | other.lines),
        "customer": likeness_of_names(one.customer, other.customer) / 100,
        "sold_on": max(0.0, 1 - days / WINDOW_DAYS),
    }
    return round(sum(_WEIGHTS[part] * share for part, share in shares.items()))


def _same_number(one: str, other: str) -> float:
    plain = [number.replace("-", "").replace("/", "") for number in (one, other)]
    match OSA.distance(*plain, score_cutoff=1):
        case 0:
            return 1.0
        case 1:
            return _SLIP
        case _:
            return 0.0
