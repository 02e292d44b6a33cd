"""Makes claims that are right in every respect, and lines of the file from them; cases spoil them."""

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from contracts.chargeback_claims import normal_ndc
from services.chargebacks.sample.layouts import LAYOUTS
from services.chargebacks.seeds import shipped

FIRST_DAY = date(2026, 1, 5)
_OF_A_DOCUMENT = ("ndc", "quantity", "wac", "contract_price", "amount")
_STREETS = ("Mill Road", "Elm Street", "Shore Drive", "Canal Street", "Hill Avenue", "Pine Lane")
_PLACES = ("Dayton, OH 45402", "Akron, OH 44301", "Erie, PA 16501", "Toledo, OH 43604", "Flint, MI 48502")

type Claim = dict[str, Any]


class Generator:
    """Chance with a seed, and the number of the next claim."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - makes samples, guards nothing
        self._number = 0
        self.members = {
            member["name"]: member for members in shipped("rosters").values() for member in members
        }

    def claim(self, contract: str, customer: str, **given: Any) -> Claim:
        """A claim under a contract. `given` replaces fields; `products` says which ones, by their place."""
        self._number += 1
        terms = shipped("contracts")["contracts"][contract]
        wholesaler = shipped("contracts")["wholesalers"][given.pop("wholesaler", terms["wholesalers"][0])]
        member = self.members.get(customer, {})
        codes = list(terms["prices"])
        products = given.pop("products", None) or sorted(
            self._random.sample(range(len(codes)), k=min(len(codes), self._random.choice([1, 2, 2, 3])))
        )
        claim = {
            "claim_number": f"DM-{204_000 + 137 * self._number}",
            "wholesaler": wholesaler["name"],
            "wholesaler_dea": wholesaler["dea"],
            "customer": customer,
            "customer_address": self._address(),
            "customer_dea": member.get("dea"),
            "customer_hin": member.get("hin"),
            "covered_entity": None,
            "contract": contract,
            "invoice": f"INV-{51_000 + 211 * self._number}",
            "sold_on": (FIRST_DAY + timedelta(days=self._random.randint(0, 80))).isoformat(),
            "lines": [self.line(codes[place], terms["prices"][codes[place]]) for place in products],
        }
        return with_total(claim | given)

    def _address(self) -> str:
        number = self._random.randint(2, 980)
        return f"{number} {self._random.choice(_STREETS)}, {self._random.choice(_PLACES)}"

    def line(self, ndc: str, price: str, *, above: str = "0") -> dict[str, Any]:
        """A line of a claim; `above` is by how much its list price is too high."""
        wac = Decimal(shipped("contracts")["products"][ndc]["wac"]) + Decimal(above)
        quantity = self._random.choice([6, 10, 12, 20, 24, 48, 120])
        return {
            "ndc": ndc,
            "ndc11": normal_ndc(ndc),
            "quantity": quantity,
            "wac": str(wac),
            "contract_price": price,
            "amount": str((wac - Decimal(price)) * quantity),
        }

    def entry(
        self, claim: Claim, layout: str, outcome: str, *, credited: str | None = None, reasons: tuple[str, ...] = (),
        decisions: dict[str, Any] | None = None, written: Claim | None = None, known: bool = True, wave: int = 1,
        reference: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """A line of the file. `written` is what the document says, where that is not the claim."""
        write, media_type, ending = LAYOUTS[layout]
        name = f"{claim['claim_number'].lower()}{'-again' if wave == 2 else ''}{ending}"
        return {
            "document": {
                "reference": reference or f"DOC-{self._number:03d}{'B' if wave == 2 else ''}",
                "name": name,
                "media_type": media_type,
                "content": write(written or claim),
                "metadata": {
                    "batch": f"2026-04-{wave:02d}",
                    "channel": "mail" if ending == ".pdf" else "portal",
                },
            },
            "wave": wave,
            "claim": answer(claim) if known else None,
            "outcome": outcome,
            "credited": credited
            if credited is not None
            else claim["total"]
            if outcome == "credited"
            else "0",
            "reasons": list(reasons),
            "decisions": decisions or {},
        }


def with_total(claim: Claim) -> Claim:
    """The claim with the sum of its lines."""
    return claim | {"total": str(sum(Decimal(line["amount"]) for line in claim["lines"]))}


def answer(claim: Claim) -> Claim:
    """The claim as it should be read."""
    lines = [
        {field: line[field] for field in _OF_A_DOCUMENT} | {"ndc": line["ndc11"]} for line in claim["lines"]
    ]
    return {field: value for field, value in claim.items() if value is not None} | {"lines": lines}
