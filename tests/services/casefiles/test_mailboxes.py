"""An mbox file and an IMAP server are searched by one suite: both give the same mails for the same query."""

import shutil
import socket
import ssl
from pathlib import Path

import pytest

from contracts.evidence import Mail
from contracts.failure import InvalidContract
from saga.action import Refused, Unavailable
from saga.secrets import LocalSecrets
from services.casefiles.connectors import connectors
from services.casefiles.mail_queries import parse_query
from services.casefiles.mailboxes import Account, ImapMailbox, MboxMailbox
from services.casefiles.ports import Mailbox
from services.casefiles.sample import MAILBOX, cases
from tests.services.casefiles.imap import PASSWORD, USER, imap_server, impostor

SECRETS = LocalSecrets({"SAGA_SECRET_MAILBOX": PASSWORD})


def account(port: int, **changes: str) -> Account:
    return Account(host="127.0.0.1", port=port, tls=False, **{"user": USER} | changes)


@pytest.fixture(params=["mbox", "imap"])
def box(request: pytest.FixtureRequest) -> Mailbox:
    if request.param == "mbox":
        return MboxMailbox(MAILBOX)
    return ImapMailbox(account(request.getfixturevalue("imap_port")), SECRETS)


async def found(box: Mailbox, query: str, limit: int = 50) -> list[Mail]:
    mails, _ = await box.search(parse_query(query), limit)
    return list(mails)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.client)
async def test_the_mails_of_a_client_are_found(box: Mailbox, case: object) -> None:
    assert len(await found(box, case.query)) == case.mails  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("from:marta@lindlaw.example", 6),
        ("to:marta -from:news", 15),
        ("subject:inv-1043", 1),
        ('subject:"still open" -from:marta', 7),
        ("Hauptmann", 0),
        ("inv-1042", 2),
        ("after:2026-02-04 before:2026-02-05", 3),
        ("has:attachment", 6),
        ('from:"Inés Cortés"', 3),
        ("from:nobody@nowhere.example", 0),
    ],
)
async def test_what_is_asked_for_is_found_and_nothing_else(box: Mailbox, query: str, count: int) -> None:
    mails = await found(box, query)
    assert len(mails) == count, [(mail.sender, mail.subject, mail.sent_at) for mail in mails]


async def test_words_are_found_in_an_encoded_text() -> None:
    # What an IMAP server finds in such a text is its own affair.
    assert b"1,800.00" not in MAILBOX.read_bytes()
    assert len(await found(MboxMailbox(MAILBOX), '"1,800.00"')) == 1


async def test_the_newest_come_first_and_the_rest_is_told_of(box: Mailbox) -> None:
    mails, more = await box.search(parse_query("to:marta"), 4)
    everything, nothing_more = await box.search(parse_query("to:marta"), 100)
    assert ([mail.message_id for mail in mails], more) == ([one.message_id for one in everything[:4]], True)
    assert not nothing_more
    sent = [mail.sent_at for mail in everything]
    assert sent == sorted(sent, reverse=True, key=lambda at: at or 0)


async def test_a_mail_is_told_as_it_was_written(box: Mailbox) -> None:
    (mail,) = await found(box, "subject:HL-220 from:breitner")
    assert mail.sender == "juergen@breitner.example"
    assert mail.to == ("marta@lindlaw.example",)
    assert mail.attachments == ("statement-breitner.txt",)
    assert "HL-220: EUR 450.00, open since January.\n\nBest\nJürgen Breitner" in mail.excerpt


async def test_a_page_is_read_as_text(box: Mailbox) -> None:
    (mail,) = await found(box, "from:ann@aldermill.example INV-1043")
    assert mail.excerpt.split() == (
        ["Dear", "Ms", "Lind,", "INV-1043:", "EUR", "980.50,", "open", "since", "January.", "Ann", "Reed"]
    )


async def test_days_are_those_of_utc_wherever_a_mail_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "zones.mbox"
    path.write_text(
        "From x Mon Mar  2 00:00:00 2026\n"
        "From: east@example.com\nSubject: one\nDate: Mon, 02 Mar 2026 00:30:00 +0200\n\nx\n\n"
        "From x Mon Mar  2 00:00:00 2026\n"
        "From: west@example.com\nSubject: two\nDate: Sun, 01 Mar 2026 23:30:00 -0800\n\nx\n\n"
    )
    async with imap_server(path) as port:
        for box in (MboxMailbox(path), ImapMailbox(account(port), SECRETS)):
            assert [mail.subject for mail in await found(box, "before:2026-03-02")] == ["one"]
            assert [mail.subject for mail in await found(box, "after:2026-03-02")] == ["two"]


async def test_searching_marks_nothing_as_seen(imap_port: int) -> None:
    from imap_tools import MailBoxUnencrypted

    assert await found(ImapMailbox(account(imap_port), SECRETS), "from:ann")
    with MailBoxUnencrypted("127.0.0.1", imap_port).login(USER, PASSWORD) as inbox:
        assert inbox.uids("SEEN") == []


@pytest.mark.parametrize(
    ("secret", "changes", "code"),
    [
        ({"SAGA_SECRET_MAILBOX": "wrong"}, {}, "mailbox.login"),
        ({"SAGA_SECRET_MAILBOX": PASSWORD}, {"folder": "Nowhere"}, "mailbox.folder"),
        ({}, {}, "secret.unknown"),
        (
            {"SAGA_SECRET_MAILBOX": PASSWORD, "SAGA_SECRET_HOSTS": "mailbox=mail.example"},
            {},
            "secret.other_host",
        ),
    ],
)
async def test_a_server_that_says_no_is_not_asked_again(
    imap_port: int, secret: dict[str, str], changes: dict[str, str], code: str
) -> None:
    box = ImapMailbox(account(imap_port, **changes), LocalSecrets(secret))
    with pytest.raises(Refused) as refused:
        await found(box, "ann")
    assert refused.value.failure.code == code


async def test_a_mailbox_that_is_away_is_asked_again(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = ImapMailbox(account(free.getsockname()[1]), SECRETS)
        for box in (away, MboxMailbox(tmp_path / "missing.mbox")):
            with pytest.raises(Unavailable) as unavailable:
                await found(box, "ann")
            assert unavailable.value.failure.code == "mailbox.unreachable"


async def test_a_server_without_a_certificate_is_not_given_the_password(imap_port: int) -> None:
    box = ImapMailbox(Account(host="127.0.0.1", port=imap_port, user=USER), SECRETS)
    with pytest.raises(Unavailable, match="SSL") as unavailable:
        await found(box, "ann")
    assert isinstance(unavailable.value.__cause__, ssl.SSLError)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the impostor makes its certificate by openssl")
async def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path: Path) -> None:
    async with impostor(tmp_path) as server:
        box = ImapMailbox(Account(host="127.0.0.1", port=server.port, user=USER), SECRETS)
        with pytest.raises(Unavailable, match="verify failed"):
            await found(box, "ann")
        assert server.told == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the impostor makes its certificate by openssl")
async def test_a_certificate_that_this_machine_trusts_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with impostor(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        box = ImapMailbox(Account(host="127.0.0.1", port=server.port, user=USER), SECRETS)
        with pytest.raises(Unavailable):
            await found(box, "ann")
        assert server.told


async def test_an_mbox_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.casefiles.mailboxes._MAX_MBOX_BYTES", 100)
    with pytest.raises(Refused) as refused:
        await found(MboxMailbox(MAILBOX), "ann")
    assert refused.value.failure.code == "mailbox.too_large"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("imap://ann@mail.example/INBOX", "expected imaps://"),
        ("imaps://mail.example/INBOX", "expected a path or imaps://user@host/folder"),
        ("imaps://ann:secret@mail.example", "expected a path or imaps://user@host/folder"),
        ("pop3://ann@mail.example", "expected a path or imaps://user@host/folder"),
    ],
)
async def test_a_setting_that_leads_nowhere_stops_the_service(setting: str, reason: str) -> None:
    with pytest.raises(InvalidContract, match=reason) as invalid:
        async with connectors({"SAGA_MAILBOX": setting}):
            raise AssertionError
    assert "secret@" not in str(invalid.value)


async def test_the_settings_lead_to_the_mailbox(imap_port: int) -> None:
    environment = {
        "SAGA_MAILBOX": f"imap://{USER}@127.0.0.1:{imap_port}/INBOX",
        "SAGA_SECRET_MAILBOX": PASSWORD,
    }
    async with connectors(environment) as connected:
        assert len(await found(connected.mailbox, cases()[0].query)) == cases()[0].mails
