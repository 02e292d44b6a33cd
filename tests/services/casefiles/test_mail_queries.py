"""A line of text says which mails are wanted; what cannot be read in it is refused with its reason."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failure import InvalidContract
from services.casefiles.mail_queries import Term, Wanted, parse_query

MAIL: dict[str, Any] = {
    "sender": "Ann Reed <ann@aldermill.example>",
    "to": "marta@lindlaw.example",
    "subject": "The Late Fee of March",
    "text": "Dear Marta, about INV-1042",
    "sent_at": datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
    "attachments": 1,
}


@pytest.mark.parametrize(
    "query",
    [
        "from:ann@aldermill.example",
        'from:"ann reed"',
        "to:LINDLAW subject:late",
        'subject:"late fee" inv-1042',
        '"late fee"',
        "after:2026-03-01 before:2026-03-02",
        "has:attachment -draft",
        "FROM:Ann Subject:LATE",
    ],
)
def test_a_mail_fits_what_it_has(query: str) -> None:
    assert parse_query(query).fits(**MAIL)


@pytest.mark.parametrize(
    "query",
    [
        "from:bob",
        "-from:ann",
        "ann",
        "subject:inv-1042",
        "after:2026-03-02",
        "before:2026-03-01",
        "-has:attachment",
        "inv-1042 draft",
    ],
)
def test_a_mail_does_not_fit_what_it_lacks(query: str) -> None:
    assert not parse_query(query).fits(**MAIL)


def test_a_mail_without_a_date_fits_no_query_with_one() -> None:
    undated = MAIL | {"sent_at": None}
    assert parse_query("ann -bob").fits(**undated) is parse_query("ann -bob").fits(**MAIL)
    assert not parse_query("before:2030-01-01").fits(**undated)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("after:someday", "after:2026-01-31"),
        ("after:0001-01-01", "no day"),
        ("before:9999-12-31", "no day"),
        ("size:10", "'size:10' is no part"),
        ("has:wings", "'has:wings' is no part"),
        ("-after:2026-01-01", "no part"),
        ('subject:"open', "not readable"),
        ('a"b', "not readable"),
    ],
)
def test_what_cannot_be_read_is_named(query: str, reason: str) -> None:
    with pytest.raises(InvalidContract, match=reason):
        parse_query(query)


def test_a_query_is_read_part_by_part() -> None:
    assert parse_query('from:ann -"late fee" after:2026-01-31') == Wanted(
        terms=(Term("from", "ann"), Term("text", "late fee", absent=True)), after=date(2026, 1, 31)
    )


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    try:
        wanted = parse_query(text)
    except InvalidContract:
        return
    assert wanted == parse_query(f" {text} ")
