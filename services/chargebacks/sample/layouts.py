"""How wholesalers write their claims: as a form, as a letter, as sheets of two kinds."""

import csv
import io
from decimal import Decimal
from typing import Any

type Claim = dict[str, Any]


def _shown(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"


def form(claim: Claim) -> str:
    """A form with labels and a table; also what is drawn as a PDF."""
    day = claim["sold_on"]
    numbers = [
        f"{label} {claim[field]}"
        for label, field in (
            ("Customer DEA     ", "customer_dea"),
            ("HIN", "customer_hin"),
            ("340B id", "covered_entity"),
        )
        if claim.get(field)
    ]
    rows = [
        f"{line['ndc']:<14}{line['quantity']:>6}{_shown(line['wac']):>11}"
        f"{_shown(line['contract_price']):>17}{_shown(line['amount']):>14}"
        for line in claim["lines"]
    ]
    contract = [f"Contract no.      {claim['contract']}"] if claim["contract"] else []
    return "\n".join(
        [
            f"{claim['wholesaler']:<48} DEA {claim['wholesaler_dea']}",
            "                     CHARGEBACK REQUEST",
            "",
            f"Debit memo no.    {claim['claim_number']}",
            *contract,
            f"Invoice           {claim['invoice']:<16} Invoice date  {day[5:7]}/{day[8:]}/{day[:4]}",
            f"Ship-to customer  {claim['customer']}",
            f"Address           {claim['customer_address']}",
            "       ".join(numbers),
            "",
            "NDC              Qty        WAC   Contract price    Chargeback",
            *rows,
            "",
            f"Total chargeback due   USD {_shown(claim['total'])}",
        ]
    )


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def letter(claim: Claim) -> str:
    """A letter with sentences."""
    year, month, day = claim["sold_on"].split("-")
    numbers = [
        f"{label} {claim[field]}"
        for label, field in (("DEA", "customer_dea"), ("HIN", "customer_hin"), ("340B id", "covered_entity"))
        if claim.get(field)
    ]
    rows = [
        f" - {line['quantity']} units of NDC {line['ndc']} at {_shown(line['contract_price'])}, "
        f"list price {_shown(line['wac'])}: {_shown(line['amount'])}"
        for line in claim["lines"]
    ]
    under = f" under contract {claim['contract']}" if claim["contract"] else ""
    return "\n".join(
        [
            f"{claim['wholesaler']} (DEA {claim['wholesaler_dea']})",
            "Claims department",
            "",
            f"Re: chargeback {claim['claim_number']}{under}",
            "",
            "Dear Sir or Madam,",
            f"on {_MONTHS[int(month) - 1]} {int(day)}, {year} we shipped to {claim['customer']}, "
            f"{claim['customer_address']}",
            f"({', '.join(numbers) or 'numbers not known'}) under invoice {claim['invoice']}:",
            *rows,
            f"We ask for a credit of USD {_shown(claim['total'])}.",
            "",
            "Sincerely yours",
        ]
    )


_OWN = (
    "claim_number", "wholesaler", "wholesaler_dea", "customer", "customer_address", "customer_dea", "customer_hin",
    "covered_entity", "contract", "invoice", "sold_on",
)  # fmt: skip
_LINE = ("ndc", "quantity", "wac", "contract_price", "amount")
_PLAIN = (
    "debit_memo,wholesaler,wholesaler_dea,customer,customer_address,customer_dea,hin,340b_id,contract,invoice,"
    "invoice_date,ndc,qty,wac,contract_price,chargeback"
)
_OTHER = (
    "Claim No;Distributor;Distributor DEA;Ship To;Ship To Address;Ship To DEA;HIN;340B ID;Contract No;Inv No;"
    "Inv Date;NDC-11;Units;List Price;Net Price;Amount"
)


def sheet(claim: Claim) -> str:
    """A sheet with commas and ISO dates."""
    return _sheet(claim, _PLAIN, ",", claim["sold_on"])


def other_sheet(claim: Claim) -> str:
    """A sheet with semicolons, other column names, American dates and codes of eleven digits."""
    day = claim["sold_on"]
    lines = [line | {"ndc": line["ndc11"]} for line in claim["lines"]]
    return _sheet(claim | {"lines": lines}, _OTHER, ";", f"{day[5:7]}/{day[8:]}/{day[:4]}")


def _sheet(claim: Claim, header: str, separator: str, day: str) -> str:
    written = io.StringIO()
    rows = csv.writer(written, delimiter=separator, lineterminator="\n")
    rows.writerow(header.split(separator))
    own = [day if field == "sold_on" else claim.get(field) or "" for field in _OWN]
    for line in claim["lines"]:
        rows.writerow([*own, *(line[field] for field in _LINE)])
    return written.getvalue()


LAYOUTS = {
    "form": (form, "text/plain", ".txt"),
    "letter": (letter, "text/plain", ".txt"),
    "sheet": (sheet, "text/csv", ".csv"),
    "other_sheet": (other_sheet, "text/csv", ".csv"),
    "pdf": (form, "application/pdf", ".pdf"),
    "scan": (lambda claim: "", "application/pdf", ".pdf"),
}
"""How it is written, its media type, the end of its file's name"""
