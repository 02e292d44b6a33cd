"""Text, from a letter or a PDF: fields by the words before them, products by their codes and the figures after them.

Of several patterns for one field the first that is found counts. DEA numbers tell themselves whose they are:
those of distributors begin with P or R.
"""

import re
from collections.abc import Iterator

from contracts.chargeback_claims import ClaimDraft, LineDraft
from services.chargebacks.extraction import values

# On the same line, so that the head of a column is not taken for a label of what is below it.
_SAID = r"[ \t]*(?i:no\b\.?|number\b|#)?[ \t]*:?[ \t]*"
_NUMBER = r"((?=[A-Z0-9/-]*\d)[A-Z0-9][A-Z0-9/-]{2,31})"
_DATE = r"(\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|(?:[A-Z][a-z]+ \d{1,2}, \d{4})|(?:\d{1,2} [A-Z][a-z]+ \d{4}))"
_TOTAL = r"(?i:total(?:\s+chargeback)?(?:\s+due)?|credit of)\s*:?\s*"
_PATTERNS: dict[str, tuple[str, ...]] = {
    "claim_number": (
        rf"(?i:debit memo|claim){_SAID}{_NUMBER}",
        rf"(?i:chargeback){_SAID}{_NUMBER}",
    ),
    "contract": (rf"(?i:contract){_SAID}{_NUMBER}",),
    "invoice": (rf"(?i:invoice){_SAID}{_NUMBER}",),
    "sold_on": (
        rf"(?i:invoice date|date of sale|sold on|shipped on)\s*:?\s*{_DATE}",
        rf"\b(?i:on)\s+{_DATE}\s+(?i:we\s+)?(?i:shipped|sold)",
    ),
    "customer": (
        r"(?im)^ *(?:ship-to customer|ship-to|customer)\s*:?[ \t]{1,}(?!DEA|HIN|number)(.{1,140}?) *(?: {3,}|$)",
        r"(?i:shipped|sold)\s+(?i:to)\s+([^,(\n]{1,140})",
    ),
    "customer_address": (
        r"(?im)^ *address\s*:?[ \t]+(.{1,200}?) *(?: {3,}|$)",
        r"(?i:shipped|sold)\s+(?i:to)\s+[^,(]{1,140},\s*([^(]{1,200}?)\s*\(",
    ),
    "customer_hin": (r"\bHIN\s*:?\s*([A-Z0-9]{9})\b",),
    "covered_entity": (r"\b340B(?i:\s*(?:id|entity))?\s*:?\s*([A-Z]{2,4}\d{4,6}[A-Z]?)\b",),
    "currency": (rf"{_TOTAL}([A-Z]{{3}})\b",),
    "total": (rf"{_TOTAL}((?:[A-Z]{{3}}|US\$|\$)?\s*[\d,]{{1,18}}\.\d{{2}})\b",),
}
_DEA = re.compile(r"\b([A-Z][A-Z9]\d{7})\b")
_FIGURE = r"\$?\d[\d,]{0,17}(?:\.\d{1,6})?"
_UNITS = r"\d[\d,]{0,9}"
_NDC = r"\d{4,5}-\d{3,4}-\d{1,2}|\d{11}"
_ROW = re.compile(
    rf"(?m)^ *(?P<ndc>{_NDC})\s+(?P<quantity>{_UNITS})\s+(?P<wac>{_FIGURE})\s+(?P<contract_price>{_FIGURE})"
    rf"\s+(?P<amount>{_FIGURE}) *$"
)
_SENTENCE = re.compile(
    rf"(?<![\d,])(?P<quantity>{_UNITS})\s+units?\s+of\s+NDC\s+(?P<ndc>{_NDC})\s+at\s+"
    rf"(?P<contract_price>{_FIGURE}),\s+list\s+price\s+(?P<wac>{_FIGURE})\s*[:;,]\s*(?P<amount>{_FIGURE}\b)"
)


def read_text(text: str) -> ClaimDraft:
    """The claim in a text, as far as the rules find it."""
    text = _plain(text)
    found = {field: _first(patterns, text) for field, patterns in _PATTERNS.items()}
    wholesaler_dea, customer_dea = _deas(text)
    lines = tuple(_lines(text))
    return ClaimDraft(
        **{field: values.token(found[field]) for field in ("claim_number", "contract", "invoice")},
        **{field: found[field] or None for field in ("customer_hin", "covered_entity")},
        wholesaler=_before(text, wholesaler_dea),
        wholesaler_dea=wholesaler_dea,
        customer=values.name(found["customer"]),
        customer_address=values.name(found["customer_address"]) or "",
        customer_dea=customer_dea,
        sold_on=values.day(found["sold_on"]),
        currency=found["currency"] or None,
        lines=lines,
        total=values.amount(found["total"]),
    )


def _plain(text: str) -> str:
    """The text without wide gaps and empty lines, with one kind of space: patterns try those for ever."""
    lines = (re.sub(r" {4,}", "   ", re.sub(r"[^\S ]", " ", line)).rstrip() for line in text.splitlines())
    return "\n".join(filter(None, lines))


def _first(patterns: tuple[str, ...], text: str) -> str:
    for pattern in patterns:
        if match := re.search(pattern, text):
            return match[1].strip()
    return ""


def _deas(text: str) -> tuple[str | None, str | None]:
    """The distributor's number, and the customer's."""
    numbers = list(dict.fromkeys(_DEA.findall(text)))
    distributors = [number for number in numbers if number[0] in "PR"]
    customers = [number for number in numbers if number[0] not in "PR"]
    return distributors[0] if distributors else None, customers[0] if len(customers) == 1 else None


def _before(text: str, number: str | None) -> str | None:
    """The name on the line of a number, before it."""
    if number is None:
        return None
    line = next(line for line in text.splitlines() if number in line)
    found = re.match(r"\s*(?:(?i:wholesaler|distributor|from)\s*:\s*)?(.+?)\s*(?:\(|,|\s{2,}|\bDEA\b)", line)
    return values.name(found[1]) if found else None


def _lines(text: str) -> Iterator[LineDraft]:
    matches = [*_ROW.finditer(text), *_SENTENCE.finditer(" ".join(text.split()))]
    for match in matches:
        yield LineDraft(
            ndc=match["ndc"],
            quantity=values.quantity(match["quantity"]),
            wac=values.amount(match["wac"]),
            contract_price=values.amount(match["contract_price"]),
            amount=values.amount(match["amount"]),
        )
