"""What a contract makes due: for each line the list price less the contract's, never more than is claimed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from contracts.chargeback_claims import Claim, ClaimLine
from contracts.chargebacks import EligibleLine, Finding, Severity
from services.chargebacks.findings import few, finding

TOLERANCE = Decimal("0.02")
"""Of what is due: a claim that is higher by less is adjusted without asking anybody."""
CURRENCY = "USD"
"""Of all contracts and list prices."""
_CENT = Decimal("0.01")

type Kind = Literal["gpo", "direct", "federal", "340b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A contract: from and to are days on which it is in force. Prices by NDC."""

    number: str
    kind: Kind
    gpo: str | None
    valid_from: date
    valid_to: date
    wholesalers: frozenset[str]
    prices: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`controlled`: who buys it must be registered with the federal authority."""

    wac: Decimal
    controlled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """Per line and in all, what may be credited."""

    lines: tuple[EligibleLine, ...]
    findings: tuple[Finding, ...]

    @property
    def eligible(self) -> Decimal:
        return sum((line.eligible for line in self.lines), Decimal(0))


def check_contract(claim: Claim, terms: Terms | None, products: Mapping[str, Product]) -> Eligibility:
    """The claim against its contract, as it was on the day of the sale."""
    refusals = tuple(_refusals(claim, terms))
    if refusals or terms is None:
        nothing = tuple(
            EligibleLine(ndc=line.ndc, claimed=line.amount, eligible=Decimal(0), reason=refusals[0].code)
            for line in claim.lines
        )
        return Eligibility(lines=nothing, findings=refusals)
    checked = [_line(index, line, terms, products) for index, line in enumerate(claim.lines)]
    lines = tuple(line for line, _ in checked)
    findings = few(one for _, found in checked for one in found)
    if not any(line.eligible for line in lines):
        findings += (finding("contract.nothing_due", "deny", "no line of the claim has anything due"),)
    return Eligibility(lines=lines, findings=findings)


def federal_due(claim: Claim, kind: Kind, products: Mapping[str, Product]) -> bool:
    """Whether the customer must be looked up in the federal database."""
    controlled = any(line.ndc in products and products[line.ndc].controlled for line in claim.lines)
    return kind in {"federal", "340b"} or controlled


def _refusals(claim: Claim, terms: Terms | None) -> Iterator[Finding]:
    if terms is None:
        yield finding("contract.unknown", "deny", f"there is no contract {claim.contract}", "/contract")
        return
    if not terms.valid_from <= claim.sold_on <= terms.valid_to:
        period = f"{terms.valid_from} to {terms.valid_to}, sold on {claim.sold_on}"
        yield finding("contract.not_in_force", "deny", f"{terms.number}: {period}", "/sold_on")
    if claim.currency != CURRENCY:
        said = f"{terms.number} has prices in {CURRENCY}, claimed is {claim.currency}"
        yield finding("contract.currency", "deny", said, "/currency")
    if claim.wholesaler_dea not in terms.wholesalers:
        said = f"{claim.wholesaler} does not supply under {terms.number}"
        yield finding("contract.wholesaler", "deny", said, "/wholesaler_dea")


def _line(
    index: int, line: ClaimLine, terms: Terms, products: Mapping[str, Product]
) -> tuple[EligibleLine, tuple[Finding, ...]]:
    place = f"/lines/{index}"
    price, product = terms.prices.get(line.ndc), products.get(line.ndc)
    if price is None or product is None:
        found = finding("contract.product", "note", f"{line.ndc} is not on {terms.number}", place)
        return _eligible(line, Decimal(0), found.code), (found,)
    due = max(Decimal(0), (product.wac - price) * line.quantity).quantize(_CENT, ROUND_HALF_EVEN)
    if line.amount <= due:
        return _eligible(line, line.amount), ()
    severity: Severity = "note" if line.amount - due <= due * TOLERANCE else "review"
    said = f"{line.quantity} x ({product.wac} - {price}) is {due}, claimed are {line.amount}"
    return _eligible(line, due, "contract.price"), (finding("contract.price", severity, said, place),)


def _eligible(line: ClaimLine, eligible: Decimal, reason: str = "") -> EligibleLine:
    return EligibleLine(ndc=line.ndc, claimed=line.amount, eligible=eligible, reason=reason)
