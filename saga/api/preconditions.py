"""Changing what one has read: `If-Match` with the ETag of that reading, 428 without it, 412 when it is late."""

import re
from typing import Annotated

from fastapi import Depends, Header, Response

from contracts.failure import SagaError, Stale


class PreconditionRequired(SagaError):
    """Whoever changes something must say which state of it they have seen."""

    code = "precondition.required"


def tag(revision: int) -> str:
    """The ETag of a revision."""
    return f'"{revision}"'


def stamp(response: Response, revision: int) -> None:
    response.headers["ETag"] = tag(revision)


def _expected(if_match: Annotated[str | None, Header()] = None) -> int | None:
    if if_match is None:
        raise PreconditionRequired("send If-Match with the ETag you have read, or * for any")
    if if_match.strip() == "*":
        return None
    if not (match := re.fullmatch(r'"(\d{1,19})"', if_match.strip())):
        raise Stale(f"If-Match {if_match!r:.60} is no ETag of ours: read it again")
    return int(match[1])


def _expected_if_given(if_match: Annotated[str | None, Header()] = None) -> int | None:
    return None if if_match is None else _expected(if_match)


Expected = Annotated[int | None, Depends(_expected)]
"""The revision a change is made over; None for any. PreconditionRequired or Stale, if the header is no good."""

ExpectedIfGiven = Annotated[int | None, Depends(_expected_if_given)]
"""As `Expected`, where a change may also be made without having read."""
