"""What casefiles need from outside, as protocols: a mailbox, a drive, sheets. They only read."""

from collections.abc import Sequence
from typing import Protocol

from contracts.evidence import File, Mail, Sheet
from services.casefiles.mail_queries import Wanted


class Mailbox(Protocol):
    """A mailbox. Raises Unavailable if it cannot be asked now, Refused if it never can."""

    async def search(self, wanted: Wanted, limit: int) -> tuple[Sequence[Mail], bool]:
        """The mails that were wanted, the one that came last first, and whether there are more than the limit."""
        ...


class Drive(Protocol):
    """Files below one root. Raises Refused if there is none."""

    async def files(self, pattern: str, limit: int) -> tuple[Sequence[File], bool]:
        """The files that fit the pattern, by path, and whether there are more than the limit."""
        ...


class Sheets(Protocol):
    """Tables in files of the drive. Raises Refused."""

    async def read(self, patterns: Sequence[str], max_rows: int) -> Sequence[Sheet]:
        """The tables of all files that fit: by pattern, path and place in the file."""
        ...
