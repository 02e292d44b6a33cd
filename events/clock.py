"""Time and chance come in from outside, so that tests can hold them still."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

type Clock = Callable[[], datetime]
"""Gives the present time, aware, in UTC."""

type Chance = Callable[[], float]
"""Gives a number in [0, 1)."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def chance() -> float:
    return random.random()  # noqa: S311 - spreads delays, guards nothing


monotonic = time.monotonic
