"""Cursors of keyset pages: where a page ended, and of which question; opaque to whoever carries them."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from contracts.failure import InvalidContract


def fingerprint(question: object) -> str:
    """Stands for the filters of a list. `repr` must tell all of them."""
    return hashlib.sha256(repr(question).encode()).hexdigest()[:16]


def write_cursor(place: Sequence[str], question: str) -> str:
    """The cursor of what comes after a place, in the answer to a question."""
    return base64.urlsafe_b64encode(json.dumps([*place, question]).encode()).decode().rstrip("=")


def read_cursor(cursor: str, question: str, parts: int) -> list[str]:
    """The place. Raises InvalidContract if the cursor is not one of this question."""
    try:
        *place, asked = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error) as error:
        raise _not_one() from error
    found = [part for part in place if isinstance(part, str)]
    if asked != question or len(found) != parts:
        raise _not_one()
    return found


def read_moment(cursor: str, question: str) -> tuple[datetime, str]:
    """The place in a list by time and id. Raises InvalidContract as `read_cursor`."""
    at, key = read_cursor(cursor, question, 2)
    try:
        return datetime.fromisoformat(at), key
    except ValueError as error:
        raise _not_one() from error


def _not_one() -> InvalidContract:
    return InvalidContract("the cursor is not one of this query: begin again without it")
