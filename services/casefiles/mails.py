"""A message as it lies in a mailbox, read into what is stated of it."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser

from imap_tools import MailMessage

from contracts.evidence import MAX_EXCERPT, Mail
from services.casefiles.bounds import plain
from services.casefiles.mail_queries import Wanted

_MAX_SHORT = 256
_MAX_SEVERAL = 20
_MAX_TEXT = 200_000


@dataclass(frozen=True, slots=True)
class Message:
    """A mail, and what of it only searching needs."""

    mail: Mail
    sender: str
    to: str
    text: str

    def fits(self, wanted: Wanted) -> bool:
        """Whether it is wanted."""
        return wanted.fits(
            sender=self.sender,
            to=self.to,
            subject=self.mail.subject,
            text=self.text,
            sent_at=self.mail.sent_at,
            attachments=len(self.mail.attachments),
        )


def read_message(raw: bytes) -> Message:
    """Read a message, however it is made: what cannot be read in it is left out."""
    found = MailMessage.from_bytes(raw)
    text = plain(_text(found), _MAX_TEXT)
    sender = found.from_values
    recipients = (*found.to_values, *found.cc_values)
    mail = Mail(
        message_id=_message_id(found, raw),
        sender=plain(found.from_, _MAX_SHORT),
        to=tuple(plain(one.email, _MAX_SHORT) for one in recipients[:_MAX_SEVERAL]),
        subject=plain(" ".join(found.subject.split()), _MAX_SHORT),
        sent_at=_instant(found.date_str),
        excerpt=plain(text, MAX_EXCERPT),
        attachments=tuple(
            plain(one.filename or "unnamed", _MAX_SHORT) for one in found.attachments[:_MAX_SEVERAL]
        ),
    )
    return Message(
        mail,
        sender=sender.full if sender else "",
        to=" ".join(one.full for one in recipients),
        text=text,
    )


def _message_id(found: MailMessage, raw: bytes) -> str:
    stated = plain(str(found.obj.get("Message-ID", "")), _MAX_SHORT).strip("<> ")
    return stated or f"sha256-{hashlib.sha256(raw).hexdigest()}"


def _instant(stated: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(stated)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(found: MailMessage) -> str:
    if found.text.strip() or not found.html:
        return found.text
    reading = _Reading()
    reading.feed(found.html)
    reading.close()
    return "".join(reading.parts)


class _Reading(HTMLParser):
    """The text of a page, without what is not shown."""

    _HIDDEN = frozenset({"script", "style", "head", "title"})
    _LINES = frozenset({"br", "p", "div", "tr", "li"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A head need not be closed before the body begins.
        self._hidden = 0 if tag == "body" else self._hidden + (tag in self._HIDDEN)
        if tag in self._LINES:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)
