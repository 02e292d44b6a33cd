"""Mailboxes: an mbox file, and any IMAP server. Both give the same answers to the same query.

Libraries that wait for disk or network run in a thread, so that no other step waits with them. Nothing is changed:
a mail that was found is not marked as seen.
"""

import asyncio
import imaplib
import mailbox
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from imap_tools import AND, OR, BaseMailBox, MailBox, MailboxLoginError, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError, MailboxFolderSelectError
from pydantic import SecretStr

from contracts.evidence import Mail
from saga.action import Refused, Unavailable
from saga.secrets import Secrets
from services.casefiles.bounds import fitting
from services.casefiles.mail_queries import Term, Wanted
from services.casefiles.mails import Message, read_message

PASSWORD = "mailbox"  # noqa: S105 - the name of the secret
_MAX_MBOX_BYTES = 268_435_456
_MAX_LOOKED_AT = 2_000
_BULK = 10
_TIMEOUT_S = 20.0
_DAY = timedelta(days=1)


class MboxMailbox:
    """A file in mbox format, the last mail at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def search(self, wanted: Wanted, limit: int) -> tuple[tuple[Mail, ...], bool]:
        return await asyncio.to_thread(self._search, wanted, limit)

    def _search(self, wanted: Wanted, limit: int) -> tuple[tuple[Mail, ...], bool]:
        try:
            if self._path.stat().st_size > _MAX_MBOX_BYTES:
                raise Refused("mailbox.too_large", f"the mbox file is larger than {_MAX_MBOX_BYTES} bytes")
            with closing(mailbox.mbox(self._path, create=False)) as box:
                found = (read_message(box.get_bytes(key)) for key in reversed(box.keys()))
                return _wanted(found, wanted, limit)
        except (OSError, mailbox.Error) as error:
            raise Unavailable("mailbox.unreachable", f"the mbox file: {_reason(error)}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A folder of an IMAP server, as one user sees it. Without TLS the password goes openly."""

    host: str
    port: int
    user: str
    folder: str = "INBOX"
    tls: bool = True


class ImapMailbox:
    """A folder of an IMAP server. The server searches, and what it finds is looked through once more."""

    def __init__(self, account: Account, secrets: Secrets) -> None:
        self._account = account
        self._secrets = secrets

    async def search(self, wanted: Wanted, limit: int) -> tuple[tuple[Mail, ...], bool]:
        password = await self._secrets.get(PASSWORD, self._account.host)
        return await asyncio.to_thread(self._search, wanted, limit, password)

    def _search(self, wanted: Wanted, limit: int, password: SecretStr) -> tuple[tuple[Mail, ...], bool]:
        host = self._account.host
        try:
            with self._opened(password) as box:
                criteria, charset = _criteria(wanted)
                uids = box.uids(criteria, charset)
                kept, more = _wanted(_messages(box, uids[-_MAX_LOOKED_AT:]), wanted, limit)
                return kept, more or len(uids) > _MAX_LOOKED_AT
        except (OSError, imaplib.IMAP4.error, ImapToolsError) as error:
            raise Unavailable("mailbox.unreachable", f"{host}: {_reason(error)}") from error

    @contextmanager
    def _opened(self, password: SecretStr) -> Iterator[BaseMailBox]:
        account = self._account
        box = self._connected()
        try:
            box.login(account.user, password.get_secret_value(), initial_folder=None)
            box.folder.set(account.folder, readonly=True)
            yield box
        except MailboxLoginError as error:
            raise Refused("mailbox.login", f"{account.host} does not let {account.user!r} in") from error
        except MailboxFolderSelectError as error:
            raise Refused("mailbox.folder", f"{account.host} has no folder {account.folder!r}") from error
        finally:
            box.client.shutdown()

    def _connected(self) -> BaseMailBox:
        host, port = self._account.host, self._account.port
        if not self._account.tls:
            return MailBoxUnencrypted(host, port, timeout=_TIMEOUT_S)
        # Told nothing, the library would take any certificate.
        return MailBox(host, port, timeout=_TIMEOUT_S, ssl_context=ssl.create_default_context())


def _messages(box: BaseMailBox, uids: list[str]) -> Iterator[Message]:
    if uids:
        for found in box.fetch(uid_list=uids, mark_seen=False, reverse=True, bulk=_BULK):
            yield read_message(found.obj.as_bytes())


def _criteria(wanted: Wanted) -> tuple[str, str]:
    """What the server is asked, and its character set. It finds too much rather than too little.

    It does not search for attachments, and its days are those of the sender's zone.
    """
    parts = [_criterion(term) for term in wanted.terms]
    if wanted.after:
        parts.append(str(AND(sent_date_gte=wanted.after - _DAY)))
    if wanted.before:
        parts.append(str(AND(sent_date_lt=wanted.before + _DAY)))
    criteria = " ".join(parts) or "ALL"
    return criteria, "US-ASCII" if criteria.isascii() else "UTF-8"


def _criterion(term: Term) -> str:
    match term.field:
        case "from":
            found = AND(from_=term.text)
        case "to":
            # Whoever gets a copy is a recipient, too.
            return f"{'NOT ' if term.absent else ''}{OR(to=term.text, cc=term.text)}"
        case "subject":
            found = AND(subject=term.text)
        case "text":
            found = AND(text=term.text)
    return f"NOT {found}" if term.absent else str(found)


def _wanted(found: Iterator[Message], wanted: Wanted, limit: int) -> tuple[tuple[Mail, ...], bool]:
    return fitting((message.mail for message in found if message.fits(wanted)), limit)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:300]
