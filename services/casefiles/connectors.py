"""The connectors by the settings.

`SAGA_MAILBOX` is the path of an mbox file or `imaps://user@host[:port][/folder]`, whose password is the secret
`mailbox`; `imap://` goes without TLS, to this machine only. `SAGA_DRIVE` is the path of a folder.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from contracts.failure import InvalidContract
from saga.action import Refused
from saga.secrets import LocalSecrets
from services.casefiles.drives import FolderDrive
from services.casefiles.mailboxes import PASSWORD, Account, ImapMailbox, MboxMailbox
from services.casefiles.ports import Drive, Mailbox, Sheets
from services.casefiles.sheets import FolderSheets

MAILBOX_VARIABLE = "SAGA_MAILBOX"
DRIVE_VARIABLE = "SAGA_DRIVE"
_PORTS = {"imaps": 993, "imap": 143}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Connectors:
    """What is connected; a step that needs what is not is refused."""

    connected_mailbox: Mailbox | None
    connected_drive: Drive | None
    connected_sheets: Sheets | None

    @property
    def mailbox(self) -> Mailbox:
        """Raises Refused if there is none."""
        if self.connected_mailbox is None:
            raise Refused("mailbox.none", f"no mailbox is connected: set {MAILBOX_VARIABLE}")
        return self.connected_mailbox

    @property
    def drive(self) -> Drive:
        """Raises Refused if there is none."""
        if self.connected_drive is None:
            raise _no_drive()
        return self.connected_drive

    @property
    def sheets(self) -> Sheets:
        """Raises Refused if there is no drive."""
        if self.connected_sheets is None:
            raise _no_drive()
        return self.connected_sheets


@asynccontextmanager
async def connectors(environment: Mapping[str, str]) -> AsyncIterator[Connectors]:
    """The connectors. Raises InvalidContract if a setting cannot be read."""
    mailbox, drive = environment.get(MAILBOX_VARIABLE), environment.get(DRIVE_VARIABLE)
    folder = FolderDrive(Path(drive)) if drive else None
    yield Connectors(
        _mailbox(mailbox, LocalSecrets(environment)) if mailbox else None,
        folder,
        FolderSheets(folder) if folder else None,
    )


def _mailbox(setting: str, secrets: LocalSecrets) -> Mailbox:
    if "://" not in setting:
        return MboxMailbox(Path(setting))
    url = urlsplit(setting)
    if url.scheme not in _PORTS or not url.hostname or not url.username or url.password is not None:
        raise InvalidContract(
            f"{MAILBOX_VARIABLE}: expected a path or imaps://user@host/folder, the password as secret {PASSWORD!r}"
        )
    tls = url.scheme == "imaps"
    if not tls and url.hostname not in _LOOPBACK:
        raise InvalidContract(f"{MAILBOX_VARIABLE}: imap:// sends the password openly: expected imaps://")
    account = Account(
        host=url.hostname,
        port=url.port or _PORTS[url.scheme],
        user=unquote(url.username),
        folder=unquote(url.path.strip("/")) or "INBOX",
        tls=tls,
    )
    return ImapMailbox(account, secrets)


def _no_drive() -> Refused:
    return Refused("drive.none", f"no drive is connected: set {DRIVE_VARIABLE}")
