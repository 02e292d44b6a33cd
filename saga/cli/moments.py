"""Moments as people write them on the command line."""

import re
from datetime import datetime, timedelta

from contracts.failure import InvalidContract
from events.clock import utc_now
from saga.replay import read_until

_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment_of(text: str | None) -> datetime | None:
    """An instant with its zone, or so long ago: 24h, 30m, 7d. Raises InvalidContract."""
    if text is None:
        return None
    if found := _DURATION.fullmatch(text):
        return utc_now() - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    instant = read_until(text)
    if not isinstance(instant, datetime):
        raise InvalidContract(f"{text!r} is neither a duration, as in 24h, nor an instant")
    return instant


def moment(text: str | None) -> str | None:
    """As `moment_of`, as the API reads it."""
    found = moment_of(text)
    return found.isoformat() if found else None
