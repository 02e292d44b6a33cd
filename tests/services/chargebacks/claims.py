"""Claims and documents for the tests of the chargeback services."""

from datetime import date
from decimal import Decimal
from typing import Any

from contracts.chargebacks import ChargebackDocument, Claim, Finding
from services.chargebacks.sample.layouts import LAYOUTS

ANNE = {"customer": "St. Anne Regional Hospital", "customer_dea": "AS4395631", "customer_hin": "5DEGZD8PC"}
MERIDIAN = {"wholesaler": "Meridian Wholesale Drug Co.", "wholesaler_dea": "RM1234563"}


def a_line(
    ndc: str = "0049-4900-30", quantity: int = 12, wac: str = "104.50", price: str = "81.51", amount: str = ""
) -> dict[str, Any]:
    claimed = amount or str((Decimal(wac) - Decimal(price)) * quantity)
    return {"ndc": ndc, "quantity": quantity, "wac": wac, "contract_price": price, "amount": claimed}


def a_claim(**changes: Any) -> Claim:
    """A claim that is right under the shipped contract PREM-2231."""
    lines = changes.pop("lines", None) or [a_line(), a_line("0093-1048-01", 100, "42.15", "32.88")]
    said: dict[str, Any] = {
        "claim_number": "DM-204137",
        **MERIDIAN,
        **ANNE,
        "customer_address": "14 Mill Road, Dayton, OH 45402",
        "contract": "PREM-2231",
        "invoice": "INV-51211",
        "sold_on": date(2026, 2, 3),
        "lines": lines,
        "total": str(sum(Decimal(line["amount"]) for line in lines)),
    }
    return Claim.model_validate(said | changes)


def written(claim: Claim, layout: str = "form") -> str:
    """The claim as its wholesaler writes it."""
    said = claim.model_dump(mode="json")
    said["lines"] = [line | {"ndc11": line["ndc"]} for line in said["lines"]]
    return LAYOUTS[layout][0](said)


def a_document(content: str, media_type: Any = "text/plain", **changes: Any) -> ChargebackDocument:
    return ChargebackDocument(
        **{
            "reference": "DOC-1", "name": "memo.txt", "media_type": media_type, "content": content,
            "metadata": {"batch": "b1"},
        }
        | changes
    )  # fmt: skip


def codes(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in findings]
