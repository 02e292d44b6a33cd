"""Evidence: which invoices prove a claim, how well, and why. Pure.

Three things count: how alike the SKUs are, how much of the quantity is covered, and how close the dates are. Each
gives points, and the points sum to the score: that is the explanation. A unit on an invoice proves one claim only;
fee claims do not use units up, for them the invoice shows which product it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from rapidfuzz import fuzz

from contracts.marketplace import ClaimKind, Invoice
from services.claims.policy import Policy

SKU_POINTS, QUANTITY_POINTS, DATE_POINTS = 50, 30, 20
_FRESH_DAYS = 60
_ONLY_PRODUCT = frozenset({ClaimKind.FEE_OVERCHARGE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A claim that needs evidence."""

    claim_id: str
    kind: ClaimKind
    sku: str
    quantity: int
    on: date

    @property
    def units(self) -> int:
        """How many units must have been bought; for a fee it only matters that the product was."""
        return 1 if self.kind in _ONLY_PRODUCT else self.quantity


@dataclass(frozen=True, slots=True)
class Part:
    """One reason of a score: its points, of how many, and what they are for."""

    what: str
    points: int
    of: int
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """An invoice as evidence; `quantity` is how many of its units the claim uses."""

    invoice: Invoice
    quantity: int
    parts: tuple[Part, ...]

    @property
    def score(self) -> int:
        return sum(part.points for part in self.parts)


def score(wanted: Wanted, invoice: Invoice, available: int, policy: Policy) -> Match | None:
    """How well an invoice of which so many units are left proves a claim; None if it does not count at all."""
    alike = similarity(wanted.sku, invoice.sku)
    age_days = (wanted.on - invoice.on).days
    if alike < policy.min_similarity or available < 1 or not 0 <= age_days <= policy.window_days:
        return None
    used = min(available, wanted.units)
    fresh = 100 if age_days <= _FRESH_DAYS else 100 * (policy.window_days - age_days) // policy.window_days
    parts = (
        Part("sku", SKU_POINTS * alike // 100, SKU_POINTS, f"{invoice.sku} is {alike}% like {wanted.sku}"),
        Part(
            "quantity",
            QUANTITY_POINTS * used // wanted.units,
            QUANTITY_POINTS,
            f"{used} of {wanted.units} units are covered",
        ),
        Part("date", DATE_POINTS * fresh // 100, DATE_POINTS, f"bought {age_days} days before"),
    )
    return Match(invoice=invoice, quantity=used, parts=parts)


def similarity(one: str, other: str) -> int:
    """How alike two SKUs are, in percent, whatever their case and separators."""
    return int(fuzz.ratio(_plain(one), _plain(other)))


def _plain(sku: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", sku.upper())


def assign(
    claims: Sequence[Wanted],
    invoices: Sequence[Invoice],
    policies: Mapping[ClaimKind, Policy],
    used: Mapping[str, int] | None = None,
) -> dict[str, tuple[Match, ...]]:
    """The evidence of each claim, the best first. `used`: units of invoices that prove other claims already.

    The best pairs come first, so the answer does not depend on the order of what is given. Where a policy wants
    several documents, the further ones fill what is missing, else they support the first, unit by unit.
    """
    by_id = {invoice.invoice_id: invoice for invoice in invoices}
    left = {name: invoice.quantity - (used or {}).get(name, 0) for name, invoice in by_id.items()}
    given: dict[str, tuple[Match, ...]] = {claim.claim_id: () for claim in claims}
    pairs = [
        (-match.score, claim.claim_id, name, claim)
        for claim in claims
        for name, invoice in by_id.items()
        if (match := score(claim, invoice, left[name], policies[claim.kind]))
    ]
    for _, claim_id, name, claim in sorted(pairs, key=lambda pair: pair[:3]):
        have, policy = given[claim_id], policies[claim.kind]
        if len(have) >= policy.documents:
            continue
        missing = claim.units - sum(match.quantity for match in have)
        match = score(claim, by_id[name], min(left[name], missing if missing > 0 else claim.units), policy)
        if match is None:
            continue
        if claim.kind not in _ONLY_PRODUCT:
            left[name] -= match.quantity
        given[claim_id] = (*have, match)
    return given


def confidence(wanted: Wanted, matches: Sequence[Match]) -> int:
    """How good the evidence of a claim is as a whole, in percent: its best invoice, and what all of them cover."""
    if not matches:
        return 0
    covered = min(wanted.units, sum(match.quantity for match in matches))
    best = max(match.score - _points(match, "quantity") for match in matches)
    return best + QUANTITY_POINTS * covered // wanted.units


def _points(match: Match, what: str) -> int:
    return next(part.points for part in match.parts if part.what == what)
