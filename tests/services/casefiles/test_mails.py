"""Messages as they come: whatever is in them is read into what facts and databases can hold."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.evidence import MAX_EXCERPT
from services.casefiles.bounds import MAX_STATED, fitting
from services.casefiles.mails import read_message

HEAD = b"From: ann@example.com\r\nTo: marta@example.com\r\nSubject: x\r\n"


@given(st.binary(max_size=400))
@example(b"From: =?x-unknown?q?a=FF?= <a@b>\r\nSubject: =?utf-8?b?////?=\r\n\r\nbody")
@example(b"Content-Type: text/plain; charset=x-no-such\r\n\r\n\xff\xfe")
@example(b"Content-Transfer-Encoding: base64\r\n\r\n!!!!")
@example(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n--a")
@example(b"Date: Thu, 99 Foo 2026 25:61:00 +9999\r\nSubject: \xff\x00\r\n\r\n\x00")
@example(b"Content-Type: text/html\r\n\r\n<![if><!DOCTYPE <p \x00 &#xD800; &bogus;")
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    mail = read_message(raw).mail
    text = mail.model_dump_json()
    assert "\\u0000" not in text
    assert text.encode()


@given(
    subject=st.text(max_size=300), body=st.text(max_size=900), name=st.text(max_size=40), date=st.datetimes()
)
def test_any_written_mail_can_be_read(subject: str, body: str, name: str, date: datetime) -> None:
    from email.message import EmailMessage
    from email.utils import format_datetime

    written = EmailMessage()
    with suppress(ValueError, UnicodeError):
        written["Subject"] = subject
        written["From"] = f'"{name}" <ann@example.com>'
        written["Date"] = format_datetime(date.replace(tzinfo=UTC))
        written.set_content(body)
        read = read_message(written.as_bytes()).mail
        assert len(read.excerpt) <= MAX_EXCERPT


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        (b"Tue, 3 Mar 2026 10:00:00 +0200", datetime(2026, 3, 3, 8, tzinfo=UTC)),
        (b"Tue, 3 Mar 2026 10:00:00", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        (b"yesterday", None),
    ],
)
def test_a_date_is_an_instant_in_utc_or_none(stated: bytes, read: datetime | None) -> None:
    assert read_message(HEAD + b"Date: " + stated + b"\r\n\r\nx").mail.sent_at == read


def test_a_mail_without_an_id_is_known_by_its_content() -> None:
    one, other = read_message(HEAD + b"\r\none").mail, read_message(HEAD + b"\r\nother").mail
    assert one.message_id == read_message(HEAD + b"\r\none").mail.message_id
    assert one.message_id.startswith("sha256-")
    assert one.message_id != other.message_id


def test_a_long_text_is_cut_and_shows_it() -> None:
    mail = read_message(HEAD + b"\r\n" + b"word " * 1_000).mail
    assert len(mail.excerpt) == MAX_EXCERPT
    assert mail.excerpt.endswith("…")


def test_a_head_that_is_not_closed_hides_nothing() -> None:
    page = b"<html><head><title>t<body>Hello"
    assert read_message(HEAD + b"Content-Type: text/html\r\n\r\n" + page).mail.excerpt == "Hello"


def test_lines_end_in_one_way() -> None:
    assert read_message(HEAD + b"\r\none\r\ntwo\r\n").mail.excerpt == "one\ntwo"


def test_no_more_is_stated_than_a_fact_can_hold() -> None:
    mails = [read_message(HEAD + b"\r\n" + "ä".encode() * 400).mail] * 100
    kept, more = fitting(mails, 100)
    assert more
    assert MAX_STATED - 1_100 < sum(len(mail.model_dump_json().encode()) for mail in kept) <= MAX_STATED


def test_scripts_and_styles_of_a_page_are_no_text() -> None:
    page = b"<html><head><title>t</title><style>p {}</style></head><body><p>Hello<script>x()</script><br>Marta</body>"
    mail = read_message(HEAD + b"Content-Type: text/html\r\n\r\n" + page).mail
    assert mail.excerpt == "Hello\nMarta"
