"""Claims of mails and bookings of sheets, and how they compare: as values."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.evidence import File, FileFindings, Mail, MailFindings, Sheet
from contracts.money import Money
from services.casefiles.rules import compare, file_findings, mail_findings

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def mail(text: str, day: int = 1, **changes: Any) -> Mail:
    told = {
        "message_id": f"m{day}",
        "sender": "ann@example.com",
        "sent_at": DAY.replace(day=day),
        "excerpt": text,
    }
    return Mail(**told | changes)


def sheet(
    *rows: tuple[str, ...], columns: tuple[str, ...] = ("Ref", "Amount", "Currency"), **changes: Any
) -> Sheet:
    return Sheet(**{"path": "a.csv", "columns": columns, "rows": rows} | changes)


def claims(*mails: Mail) -> dict[str, str]:
    return {claim.reference: str(claim.amount) for claim in mail_findings(mails).claims}


def bookings(*sheets: Sheet) -> dict[str, str]:
    return {booking.reference: str(booking.amount) for booking in file_findings([], sheets).bookings}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("INV-1042: EUR 1,250.00, open", {"INV-1042": "1250.00 EUR"}),
        ("about INV-7 and INV-81", {"INV-81": "None"}),
        ("INV-10 of EUR 5 instead of EUR 7.5", {"INV-10": "7.50 EUR"}),
        ("INV-10\nEUR 5", {"INV-10": "None"}),
        ("JPY 500 for AB-12 and CD-34", {"AB-12": "500 JPY", "CD-34": "500 JPY"}),
        ("xINV-10 INV-10x inv-10 EUR 5", {}),
        ("INV-10: EUR 1,25.00", {"INV-10": "None"}),
        ("INV-10: EUR 1.250,00", {"INV-10": "None"}),
        ("INV-10: EUR 5.", {"INV-10": "5.00 EUR"}),
        ("INV-10: EUR -5", {"INV-10": "-5.00 EUR"}),
    ],
)
def test_a_line_claims_its_references_and_its_last_amount(text: str, found: dict[str, str]) -> None:
    assert claims(mail(text)) == found


def test_the_newest_mail_that_names_an_amount_counts() -> None:
    old, new = mail("AB-12: EUR 1", 1), mail("AB-12: EUR 2", 2)
    silent, undated = mail("AB-12, as I said", 3), mail("AB-12: EUR 9", 4, sent_at=None)
    assert claims(old, silent, undated, new) == claims(new, old) == {"AB-12": "2.00 EUR"}


def test_a_subject_claims_too() -> None:
    assert claims(mail("", subject="AB-12: USD 3")) == {"AB-12": "3.00 USD"}


def test_the_mails_are_counted_by_who_wrote_them() -> None:
    mails = [mail("", 1), mail("", 5), mail("", 3, sender="bob@example.com"), mail("", 9, sent_at=None)]
    found = mail_findings(mails)
    assert [(one.address, one.mails) for one in found.correspondents] == [
        ("ann@example.com", 3), ("bob@example.com", 1)
    ]  # fmt: skip
    assert (found.mails, found.first_at, found.last_at) == (4, DAY, DAY.replace(day=5))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (("AB-12", "5.5", "EUR"), {"AB-12": "5.50 EUR"}),
        (("AB-12", "1,250", "EUR"), {"AB-12": "1250.00 EUR"}),
        (("AB-12", "1250,00", "EUR"), {"AB-12": "None"}),
        (("AB-12", "-3.005", "EUR"), {"AB-12": "-3.00 EUR"}),
        (("AB-12", "", "EUR"), {"AB-12": "None"}),
        (("AB-12", "NaN", "EUR"), {"AB-12": "None"}),
        (("AB-12", "1e999999", "EUR"), {"AB-12": "None"}),
        (("AB-12", "5", "euro"), {"AB-12": "None"}),
        (("about AB-12", "5", "EUR"), {}),
    ],
)
def test_a_row_books_the_reference_in_it(row: tuple[str, ...], found: dict[str, str]) -> None:
    assert bookings(sheet(row)) == found


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValidationError, match="row 2 has 1 cells: expected 3"):
        sheet(("AB-12", "1", "EUR"), ("AB-13",))


def test_columns_are_known_by_their_names() -> None:
    row = ("x", "EUR", "7", "AB-12")
    assert bookings(sheet(row, columns=("Note", "ccy", "TOTAL", "Ref"))) == {"AB-12": "7.00 EUR"}
    assert bookings(sheet(row, columns=("Note", "", "", "Ref"))) == {"AB-12": "None"}


def test_the_last_row_of_the_last_sheet_counts() -> None:
    first = sheet(("AB-12", "1", "EUR"), ("AB-12", "2", "EUR"))
    last = sheet(("AB-12", "3", "EUR"), path="b.csv")
    assert bookings(first) == {"AB-12": "2.00 EUR"}
    assert bookings(last, first) == bookings(first, last) == {"AB-12": "3.00 EUR"}


def test_files_with_the_same_content_are_duplicates() -> None:
    def file(path: str, content: str) -> File:
        return File(path=path, size_bytes=2, modified_at=DAY, sha256=content * 64)

    found = file_findings([file("c", "a"), file("b", "b"), file("a", "a")], [])
    assert (found.files, found.size_bytes, found.duplicates) == (3, 6, (("a", "c"),))


def test_claims_are_compared_with_bookings() -> None:
    mails = [mail("AA-11: EUR 1\nAA-12: EUR 2\nAA-13: EUR 3\nAA-15")]
    rows = sheet(("AA-11", "1.00", "EUR"), ("AA-12", "2", "USD"), ("AA-14", "4", "EUR"), ("AA-15", "", ""))
    report = compare(mail_findings(mails), file_findings([], [rows]))
    assert (report.agreed, report.only_in_mails, report.only_in_files) == (
        ("AA-11", "AA-15"),
        ("AA-13",),
        ("AA-14",),
    )
    (differing,) = report.differing
    assert (differing.claimed, differing.booked) == (Money.of("2.00", "EUR"), Money.of("2.00", "USD"))


MANY = [mail(" ".join(f"AB-{day}{number}" for number in range(10, 85)), day) for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("mails", "files"),
    [
        (mail_findings([], more=True), file_findings([], [])),
        (mail_findings(MANY), file_findings([], [])),
        (mail_findings([]), file_findings([], [], more=True)),
        (mail_findings([]), file_findings([], [sheet(more=True)])),
    ],
    ids=["mails", "claims", "files", "rows"],
)
def test_a_report_that_is_not_about_all_says_so(mails: MailFindings, files: FileFindings) -> None:
    assert compare(mails, files).more
    assert not compare(mail_findings([]), file_findings([], [])).more


_REFERENCES = st.lists(st.integers(10, 40).map(lambda number: f"AB-{number}"), max_size=20)


@given(_REFERENCES, _REFERENCES, st.integers(1, 3), st.integers(1, 3))
def test_every_reference_stands_in_one_place_of_the_report(
    claimed: list[str], booked: list[str], owed: int, paid: int
) -> None:
    mails = [mail("\n".join(f"{one}: EUR {owed}" for one in claimed[:18]))]
    rows = sheet(*((one, str(paid), "EUR") for one in booked))
    report = compare(mail_findings(mails), file_findings([], [rows]))
    differing = [one.reference for one in report.differing]
    named = [*report.agreed, *differing, *report.only_in_mails, *report.only_in_files]
    assert sorted(named) == sorted({*claimed[:18], *booked})
    assert not (report.agreed if owed != paid else report.differing)
