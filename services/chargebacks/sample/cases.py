"""The cases of the sample: what is right, and everything that can be wrong with a claim."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import cycle
from typing import Any

from services.chargebacks.sample.making import Claim, Generator

type Entry = dict[str, Any]

APPROVE = {"decision": "approve", "reviewer": "ada", "reason": "looked at, and right"}
REJECT = {"decision": "reject", "reviewer": "grace", "reason": "not to be paid"}
_DIRECT = ("Stonebridge Family Practice", "Aurora Dialysis Partners", "Keystone Home Infusion")
_COVERED = {
    "Maple Street Health Center": "CHC08231",
    "Delta Community Clinic": "CHC11904",
    "Harbor Light Clinic": "RWI40122",
}


def ordinary(make: Generator) -> Iterator[Entry]:
    """Members of purchasing organizations, at the prices of their contracts."""
    layouts = cycle(("form", "letter", "sheet", "other_sheet", "pdf"))
    alliance = ("St. Anne Regional Hospital", "Northgate Surgical Center", "Lakeside Community Hospital",
                "Mercy Children's Hospital", "Oakfield University Hospital", "Eastlake Veterans Hospital")  # fmt: skip
    nova = ("Harper Valley Hospital", "Brookstone Orthopedic Institute", "Grand Prairie Medical Center",
            "Three Rivers Health System", "Cedar Hills Surgical Hospital", "Holy Cross Hospital")  # fmt: skip
    for customer in alliance:
        yield make.entry(make.claim("PREM-2231", customer, wholesaler="calder"), next(layouts), "credited")
    for customer in alliance[:4]:
        yield make.entry(make.claim("PREM-2240", customer), next(layouts), "credited")
    for customer in nova:
        yield make.entry(make.claim("NOVA-871", customer), next(layouts), "credited")
    for customer in nova[:4]:
        claim = make.claim("NOVA-871", customer, wholesaler="harborline")
        yield make.entry(claim, next(layouts), "credited")


def without_roster(make: Generator) -> Iterator[Entry]:
    """Direct contracts, and federal ones."""
    for customer, layout in zip(_DIRECT, ("pdf", "sheet", "letter"), strict=True):
        yield make.entry(make.claim("DIR-4410", customer), layout, "credited")
    for layout in ("form", "other_sheet"):
        yield make.entry(make.claim("FSS-36F79", "Eastlake Veterans Hospital"), layout, "credited")
    for (customer, number), layout in zip(_COVERED.items(), ("pdf", "letter", "form"), strict=True):
        yield make.entry(make.claim("PHS-340B-17", customer, covered_entity=number), layout, "credited")


def stumbling(make: Generator) -> Iterator[Entry]:
    """Others are away for a moment, or for good; answers are lost."""
    controlled: dict[str, Any] = {"products": [3, 4]}
    yield make.entry(make.claim("PREM-2240", "Riverbend Medical Center", **controlled), "form", "credited")
    yield make.entry(
        make.claim("PREM-2240", "Summit County Memorial Hospital", **controlled), "pdf", "credited",
        decisions={"review_checks": APPROVE},
    )  # fmt: skip
    for layout in ("sheet", "letter"):
        claim = make.claim("DIR-4410", _DIRECT[0])
        yield make.entry(claim, layout, "credited", reference=f"LOST-{layout}")


def priced(make: Generator) -> Iterator[Entry]:
    """Claims above what is due: a little, a lot, and for products that the contract does not have."""
    decisions = (None, None, APPROVE, APPROVE, REJECT)
    above = ("0.20", "0.25", "6.00", "9.50", "12.00")
    layouts = ("form", "sheet", "pdf", "letter", "other_sheet")
    for decision, too_high, layout in zip(decisions, above, layouts, strict=True):
        honest, dear = make.line("0049-4900-30", "81.51"), make.line("0143-9924-90", "48.20", above=too_high)
        claim = make.claim("PREM-2231", "Northgate Surgical Center", lines=[honest, dear])
        due = Decimal(honest["amount"]) + (Decimal("61.80") - Decimal("48.20")) * dear["quantity"]
        if decision is REJECT:
            yield make.entry(
                claim, layout, "denied", reasons=("review.rejected",), decisions={"review_checks": REJECT}
            )
        else:
            asked = {"review_checks": decision} if decision else {}
            yield make.entry(
                claim, layout, "adjusted", credited=str(due), reasons=("contract.price",), decisions=asked
            )
    for layout in ("form", "other_sheet"):
        good, other = make.line("0143-9924-90", "45.73"), make.line("0093-1048-01", "32.88")
        claim = make.claim("NOVA-871", "Holy Cross Hospital", lines=[good, other])
        yield make.entry(claim, layout, "adjusted", credited=good["amount"], reasons=("contract.product",))
    claim = make.claim("NOVA-871", "Holy Cross Hospital", lines=[make.line("0093-1048-01", "32.88")])
    yield make.entry(claim, "letter", "denied", reasons=("contract.nothing_due",))


def not_due(make: Generator) -> Iterator[Entry]:
    """Denied by contract, roster or registration, without asking anybody."""

    def denied(claim: Claim, layout: str, reason: str) -> Entry:
        return make.entry(claim, layout, "denied", reasons=(reason,))

    for layout in ("form", "sheet"):
        yield denied(make.claim("NOVA-655", "Harper Valley Hospital"), layout, "contract.not_in_force")
    yield denied(
        make.claim("FSS-36F79", "Eastlake Veterans Hospital", wholesaler="calder"),
        "pdf",
        "contract.wholesaler",
    )
    unknown = make.claim("NOVA-871", "Holy Cross Hospital") | {"contract": "NOVA-817"}
    yield denied(unknown, "letter", "contract.unknown")
    for customer, layout in (
        ("Ironwood Veterinary Supply", "form"),
        ("Sunny Acres Retirement Home", "sheet"),
    ):
        yield denied(make.claim("PREM-2231", customer), layout, "roster.no_member")
    yield denied(make.claim("NOVA-871", "Union Square Dialysis Center"), "pdf", "roster.left")
    yield denied(make.claim("NOVA-871", "Blue Ridge Pharmacy"), "letter", "roster.not_yet")
    revoked = make.claim("PREM-2240", "Pinecrest Infusion Pharmacy", products=[3], sold_on="2026-03-02")
    yield denied(revoked, "other_sheet", "federal.not_active")
    ended = make.claim("PHS-340B-17", "Trinity County Hospital", covered_entity="DSH360051")
    yield denied(ended, "form", "federal.not_active")
    nobody = make.claim("PHS-340B-17", "Prairie Wind Clinic", covered_entity="CHC99999")
    yield denied(nobody, "pdf", "federal.unknown")


def doubtful(make: Generator) -> Iterator[Entry]:
    """What only a person can decide, and what looks doubtful but is not."""

    def asked(claim: Claim, layout: str, decision: dict[str, Any]) -> Entry:
        decisions = {"review_checks": decision}
        if decision is REJECT:
            return make.entry(claim, layout, "denied", reasons=("review.rejected",), decisions=decisions)
        return make.entry(claim, layout, "credited", decisions=decisions)

    unnumbered: dict[str, Any] = {"customer_dea": None, "customer_hin": None}
    written = make.claim("PREM-2231", "Mercy Childrens Hosp.", **unnumbered)
    yield make.entry(written, "letter", "credited")
    yield asked(make.claim("NOVA-871", "Harper Vly Hospitals", **unnumbered), "form", APPROVE)
    for layout, decision in (("pdf", APPROVE), ("sheet", REJECT)):
        claim = make.claim("PREM-2231", "Westover Oncology Clinic", sold_on="2026-03-14")
        yield asked(claim, layout, decision)
    stranger = make.claim("PREM-2231", "Oakfield University Hospital") | {"customer": "Zenith Trading"}
    yield asked(stranger, "form", REJECT)
    renamed = make.claim("PHS-340B-17", "Cornerstone Care Network", covered_entity="CHC22718")
    yield asked(renamed, "letter", APPROVE)
    yield asked(make.claim("PHS-340B-17", "Maple Street Health Center"), "form", REJECT)


def unreadable(make: Generator) -> Iterator[Entry]:
    """What the rules cannot read whole: somebody corrects it, or gives it back."""

    def corrected(claim: Claim, layout: str, written: Claim, **corrections: Any) -> Entry:
        decision = APPROVE | {"corrections": corrections}
        return make.entry(
            claim, layout, "credited", written=written, decisions={"review_extraction": decision}
        )

    for layout in ("form", "letter"):
        claim = make.claim("PREM-2231", "Lakeside Community Hospital")
        yield corrected(claim, layout, claim | {"contract": ""}, contract="PREM-2231")
    for layout in ("pdf", "sheet"):
        claim = make.claim("NOVA-871", "Three Rivers Health System")
        number = claim["customer_dea"]
        slip = number[:-1] + str((int(number[-1]) + 1) % 10)
        yield corrected(claim, layout, claim | {"customer_dea": slip}, customer_dea=number)
    claim = make.claim("DIR-4410", _DIRECT[1])
    wrong = str(Decimal(claim["total"]) + 100)
    yield corrected(claim, "form", claim | {"total": wrong}, total=claim["total"])
    claim = make.claim("DIR-4410", _DIRECT[2], products=[0])
    line = {name: claim["lines"][0][name] for name in ("ndc", "quantity", "wac", "contract_price", "amount")}
    keyed = {name: value for name, value in claim.items() if value is not None} | {"lines": [line]}
    yield corrected(claim, "scan", claim, **keyed)
    yield make.entry(
        make.claim("DIR-4410", _DIRECT[2]), "scan", "denied", known=False, reasons=("review.rejected",),
        decisions={"review_extraction": REJECT},
    )  # fmt: skip


def repeated(make: Generator) -> Iterator[Entry]:
    """Claims that come again: as they were, written otherwise, with a slip of the pen; and one that only looks so."""
    again: dict[str, Any] = {"wave": 2}

    def first(customer: str, layout: str) -> tuple[Claim, Entry]:
        claim = make.claim("PREM-2231", customer, products=[0, 1, 2])
        return claim, make.entry(claim, layout, "credited")

    duplicate: dict[str, Any] = {"reasons": ("duplicate.certain",)} | again
    for before, after in (("pdf", "pdf"), ("form", "other_sheet"), ("sheet", "letter")):
        claim, entry = first("St. Anne Regional Hospital", before)
        yield entry
        written = claim | {"customer": "Saint Anne Rgnl Hosp"} if after == "letter" else claim
        yield make.entry(written, after, "denied", **duplicate)
    claim, entry = first("Oakfield University Hospital", "form")
    yield entry
    slip = claim | {"invoice": claim["invoice"][:-1] + str((int(claim["invoice"][-1]) + 1) % 10)}
    yield make.entry(
        slip, "sheet", "denied", reasons=("review.rejected",), decisions={"review_checks": REJECT}, **again
    )
    claim, entry = first("Eastlake Veterans Hospital", "letter")
    yield entry
    standing = claim | {
        "claim_number": claim["claim_number"][:-1] + str((int(claim["claim_number"][-1]) + 1) % 10),
        "invoice": claim["invoice"][:-1] + str((int(claim["invoice"][-1]) + 1) % 10),
    }
    yield make.entry(standing, "pdf", "credited", decisions={"review_checks": APPROVE}, **again)


CASES: Sequence[Callable[[Generator], Iterator[Entry]]] = (
    ordinary, without_roster, stumbling, priced, not_due, doubtful, unreadable, repeated,
)  # fmt: skip
