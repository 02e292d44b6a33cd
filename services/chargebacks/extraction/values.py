"""Values as people write them: amounts, dates, numbers of parties. What cannot be read is None, never a guess."""

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

_DATE_FORMATS = (
    "%Y-%m-%d",
    "%m/%d/%Y",
    "%m/%d/%y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%d %b %Y",
    "%Y%m%d",
)
_AMOUNT = re.compile(
    r"^\(?(?:[A-Z]{3}|US\$|\$)?\s*(\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,6})?|\d{1,15}(?:\.\d{1,6})?)\s*(?:[A-Z]{3})?\)?$"
)


def amount(written: str) -> Decimal | None:
    """`$1,118.40` or `USD 81.20`; None for anything else."""
    found = _AMOUNT.match(written.strip())
    if found is None:
        return None
    try:
        return Decimal(found[1].replace(",", ""))
    except InvalidOperation:
        return None


def quantity(written: str) -> int | None:
    """A whole number of units, perhaps with thousands separators, perhaps written as 12.0."""
    found = amount(written)
    return int(found) if found is not None and found == found.to_integral_value() else None


def day(written: str) -> date | None:
    """A date in one of the forms that are read without doubt: month before day, or ISO."""
    plain = " ".join(written.replace(".", " ").split())
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(plain, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    return None


def name(written: str) -> str | None:
    """A party's name without what surrounds it."""
    return " ".join(written.split()).strip(" ,;:-") or None


def token(written: str) -> str | None:
    """A number of a contract, claim or invoice: capitals and digits."""
    plain = re.sub(r"\s+", "", written).upper().strip(".,;:")
    return plain or None
