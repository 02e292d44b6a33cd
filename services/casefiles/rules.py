"""What evidence says, as values of values: claims in mails, bookings in sheets, and how they compare."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from contracts.evidence import (
    Booking,
    Claim,
    Correspondent,
    Difference,
    File,
    FileFindings,
    Mail,
    MailFindings,
    Report,
    Sheet,
)
from contracts.money import Money
from services.casefiles.bounds import fitting

_REFERENCE = re.compile(r"\b[A-Z]{2,5}-\d{2,10}\b")
# Commas group thousands. Whatever else a comma may mean is not guessed at.
_NUMBER = r"-?(?:\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.\d{1,4})?"
_AMOUNT = re.compile(rf"\b([A-Z]{{3}}) ({_NUMBER})(?![,.]?\w)")
_CURRENCY = re.compile(r"[A-Z]{3}")
_AMOUNT_COLUMNS = ("amount", "total", "value")
_CURRENCY_COLUMNS = ("currency", "ccy")
_NEVER = datetime.min.replace(tzinfo=UTC)
_MAX_FOUND = 200
_MAX_CORRESPONDENTS = 20


def mail_findings(mails: Sequence[Mail], *, more: bool = False) -> MailFindings:
    """Who wrote how often, and which references are claimed. `more`: there are mails beside these."""
    claims: dict[str, Claim] = {}
    for mail in sorted(mails, key=lambda one: one.sent_at or _NEVER, reverse=True):
        for claim in _claims(mail):
            known = claims.get(claim.reference)
            # The newest mail that names an amount counts, else the newest.
            if known is None or (known.amount is None and claim.amount is not None):
                claims[claim.reference] = claim
    sent = sorted(mail.sent_at for mail in mails if mail.sent_at is not None)
    kept, cut = fitting((claims[reference] for reference in sorted(claims)), _MAX_FOUND)
    written = Counter(mail.sender for mail in mails if mail.sender)
    return MailFindings(
        mails=len(mails),
        first_at=sent[0] if sent else None,
        last_at=sent[-1] if sent else None,
        correspondents=tuple(
            Correspondent(address=address, mails=count)
            for address, count in sorted(written.items(), key=lambda one: (-one[1], one[0]))
        )[:_MAX_CORRESPONDENTS],
        claims=kept,
        more=more or cut,
    )


def file_findings(files: Sequence[File], sheets: Sequence[Sheet], *, more: bool = False) -> FileFindings:
    """What is there twice, and which references are booked; of several bookings of one, the last row counts.

    `more`: there are files or tables beside these.
    """
    same: dict[str, list[str]] = defaultdict(list)
    for file in files:
        same[file.sha256].append(file.path)
    ordered = sorted(sheets, key=lambda one: (one.path, one.name))
    bookings = {booking.reference: booking for sheet in ordered for booking in _bookings(sheet)}
    kept, cut = fitting((bookings[reference] for reference in sorted(bookings)), _MAX_FOUND)
    return FileFindings(
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        duplicates=tuple(sorted(tuple(sorted(paths)) for paths in same.values() if len(paths) > 1)),
        sheets=len(sheets),
        bookings=kept,
        more=more or cut or any(sheet.more for sheet in sheets),
    )


def compare(mails: MailFindings, files: FileFindings) -> Report:
    """Claims against bookings, by reference."""
    claimed = {claim.reference: claim.amount for claim in mails.claims}
    booked = {booking.reference: booking.amount for booking in files.bookings}
    both = sorted(claimed.keys() & booked.keys())
    return Report(
        agreed=tuple(one for one in both if claimed[one] == booked[one]),
        differing=tuple(
            Difference(reference=one, claimed=claimed[one], booked=booked[one])
            for one in both
            if claimed[one] != booked[one]
        ),
        only_in_mails=tuple(sorted(claimed.keys() - booked.keys())),
        only_in_files=tuple(sorted(booked.keys() - claimed.keys())),
        mails=mails.mails,
        files=files.files,
        first_at=mails.first_at,
        last_at=mails.last_at,
        more=mails.more or files.more,
    )


def _claims(mail: Mail) -> Iterator[Claim]:
    """Every reference of a mail; an amount belongs to the references of its line."""
    found: dict[str, Money | None] = {}
    for line in (mail.subject, *mail.excerpt.splitlines()):
        amounts = [_money(number, currency) for currency, number in _AMOUNT.findall(line)]
        for reference in _REFERENCE.findall(line):
            found[reference] = amounts[-1] if amounts else found.get(reference)
    for reference, amount in found.items():
        yield Claim(reference=reference, amount=amount, message_id=mail.message_id)


def _bookings(sheet: Sheet) -> Iterator[Booking]:
    columns = [column.lower() for column in sheet.columns]
    amount, currency = _column(columns, _AMOUNT_COLUMNS), _column(columns, _CURRENCY_COLUMNS)
    for number, row in enumerate(sheet.rows, 1):
        reference = next((one for cell in row if (one := _whole_reference(cell))), None)
        if reference is not None:
            money = None if amount is None or currency is None else _money(row[amount], row[currency])
            yield Booking(reference=reference, amount=money, path=sheet.path, row=number)


def _column(columns: Sequence[str], names: Sequence[str]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def _whole_reference(cell: str) -> str | None:
    return cell if _REFERENCE.fullmatch(cell) else None


def _money(number: str, currency: str) -> Money | None:
    if not re.fullmatch(_NUMBER, number) or not _CURRENCY.fullmatch(currency):
        return None
    return Money.of(number.replace(",", ""), currency).quantized()
