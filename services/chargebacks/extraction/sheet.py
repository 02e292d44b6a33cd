"""Sheets: one row per product, the claim's own fields repeated in every row, columns named as their senders like."""

import csv
import re
from collections.abc import Mapping

from contracts.chargeback_claims import ClaimDraft, LineDraft
from services.chargebacks.extraction import values

_COLUMNS: dict[str, tuple[str, ...]] = {
    "claim_number": ("debitmemo", "debitmemono", "claim", "claimno", "claimnumber", "chargebackno"),
    "wholesaler": ("wholesaler", "wholesalername", "distributor", "distributorname"),
    "wholesaler_dea": ("wholesalerdea", "distributordea"),
    "customer": ("customer", "customername", "shipto", "shiptoname"),
    "customer_address": ("customeraddress", "shiptoaddress", "address"),
    "customer_dea": ("customerdea", "shiptodea"),
    "customer_hin": ("hin", "customerhin", "shiptohin"),
    "covered_entity": ("340bid", "coveredentity", "340b"),
    "contract": ("contract", "contractno", "contractnumber"),
    "invoice": ("invoice", "invoiceno", "invno", "invoicenumber"),
    "sold_on": ("invoicedate", "invdate", "soldon", "saledate"),
    "currency": ("currency", "cur"),
    "ndc": ("ndc", "ndc11", "product"),
    "quantity": ("qty", "quantity", "units"),
    "wac": ("wac", "list", "listprice"),
    "contract_price": ("contractprice", "net", "netprice"),
    "amount": ("chargeback", "amount", "claimed", "claimamount"),
    "total": ("total", "claimtotal", "totalchargeback"),
}
_FIELDS = {column: field for field, columns in _COLUMNS.items() for column in columns}
_OF_A_LINE = ("ndc", "quantity", "wac", "contract_price", "amount")
_AS_WRITTEN = ("wholesaler", "customer", "customer_address")

type Row = Mapping[str, str]


def read_sheet(text: str) -> ClaimDraft:
    """The claim in a sheet, as far as its columns are known. Whatever contradicts itself is left out."""
    rows = _rows(text)
    lines = tuple(_line(row) for row in rows if any(row.get(field) for field in _OF_A_LINE))
    said = {field: _only(rows, field) for field in _COLUMNS if field not in _OF_A_LINE}
    amounts = [line.amount for line in lines if line.amount is not None]
    total = (
        values.amount(said["total"])
        if said["total"]
        else sum(amounts)
        if len(amounts) == len(lines)
        else None
    )
    return ClaimDraft(
        wholesaler=values.name(said["wholesaler"]),
        customer=values.name(said["customer"]),
        customer_address=values.name(said["customer_address"]) or "",
        **{field: values.token(said[field]) for field in said.keys() - {*_AS_WRITTEN, "sold_on", "total"}},
        sold_on=values.day(said["sold_on"]),
        lines=lines,
        total=total if lines else None,
    )


def _rows(text: str) -> list[Row]:
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if not lines:
        return []
    separator = max(",;\t|", key=lines[0].count)
    header, *body = csv.reader(lines, delimiter=separator)
    fields = [_FIELDS.get(re.sub(r"[^a-z0-9]", "", column.lower())) for column in header]
    return [
        {field: cell.strip() for field, cell in zip(fields, cells, strict=False) if field is not None}
        for cells in body
    ]


def _only(rows: list[Row], field: str) -> str:
    """What all rows say of the claim, if they agree."""
    said = {row[field] for row in rows if row.get(field)}
    return said.pop() if len(said) == 1 else ""


def _line(row: Row) -> LineDraft:
    return LineDraft(
        ndc=row.get("ndc") or None,
        quantity=values.quantity(row.get("quantity", "")),
        wac=values.amount(row.get("wac", "")),
        contract_price=values.amount(row.get("contract_price", "")),
        amount=values.amount(row.get("amount", "")),
    )
