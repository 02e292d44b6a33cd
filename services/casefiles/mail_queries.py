"""What is looked for in a mailbox: a line such as `from:ann@example.com "late fee" after:2026-01-31 -draft`.

All parts must hold. Words and `from:`, `to:`, `subject:` match anywhere, in either case; `after:` is from that day
on, `before:` until the day before, in UTC; `has:attachment`; a `-` in front turns a part into its opposite.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from contracts.failure import InvalidContract

Field = Literal["from", "to", "subject", "text"]
_FIELDS: tuple[Field, ...] = ("from", "to", "subject")
_PART = re.compile(r'(?P<minus>-?)(?:(?P<key>[A-Za-z]+):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+))(?=\s|$)')


@dataclass(frozen=True, slots=True)
class Term:
    """A text that a field holds, or with `absent` does not. It is in lower case."""

    field: Field
    text: str
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What mails are wanted."""

    terms: tuple[Term, ...] = ()
    after: date | None = None
    before: date | None = None
    attachments: bool | None = None

    def fits(
        self, *, sender: str, to: str, subject: str, text: str, sent_at: datetime | None, attachments: int
    ) -> bool:
        """Whether a mail is one of these. One without a date fits no query with one."""
        if self.attachments is not None and self.attachments != bool(attachments):
            return False
        if self.after or self.before:
            if sent_at is None:
                return False
            day = sent_at.astimezone(UTC).date()
            if (self.after and day < self.after) or (self.before and day >= self.before):
                return False
        fields = {"from": sender, "to": to, "subject": subject, "text": f"{subject}\n{text}"}
        return all((term.text in fields[term.field].lower()) != term.absent for term in self.terms)


def parse_query(query: str) -> Wanted:
    """What a query wants. Raises InvalidContract, naming the part that is wrong."""
    terms: list[Term] = []
    days: dict[str, date] = {}
    attachments: bool | None = None
    place = 0
    for match in _PART.finditer(query):
        if query[place : match.start()].strip():
            break
        place = match.end()
        key, absent = match["key"] and match["key"].lower(), bool(match["minus"])
        text = match["quoted"] if match["quoted"] is not None else match["plain"]
        if key is None:
            terms.append(Term("text", text.lower(), absent))
        elif key in _FIELDS:
            terms.append(Term(key, text.lower(), absent))
        elif key in ("after", "before") and not absent:
            days[key] = _day(key, text)
        elif key == "has" and text == "attachment":
            attachments = not absent
        else:
            raise InvalidContract(
                f"mail query: {match[0]!r} is no part of one: expected from:, to:, subject:, after:, before:, "
                'has:attachment or a word, which stands in "quotes" if it has a colon'
            )
    if query[place:].strip():
        raise InvalidContract(
            f'mail query: {query[place:].strip()!r} is not readable: expected words, or "..."'
        )
    return Wanted(
        terms=tuple(terms), after=days.get("after"), before=days.get("before"), attachments=attachments
    )


def _day(key: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
        if not 1900 <= day.year <= 2999:
            raise ValueError("no mail was sent then")
        return day
    except ValueError as error:
        raise InvalidContract(f"mail query: {key}:{text} is no day: expected {key}:2026-01-31") from error
