"""Column types that keep what they are given: exact decimals, and instants with their zone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import String
from sqlalchemy.types import TypeDecorator

_NONE = timedelta(0)


class DecimalText(TypeDecorator[Decimal]):
    """A decimal as text: SQLite has no exact numbers of its own."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Any) -> Decimal | None:
        return None if value is None else Decimal(value)


class UtcText(TypeDecorator[datetime]):
    """An instant as ISO 8601 text in UTC, always with microseconds, so that text order is time order."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else utc_text(value)

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


def utc_text(value: datetime) -> str:
    """An aware instant as `UtcText` keeps it."""
    # Most are in UTC already, and the log writes several for every fact.
    in_utc = value if value.utcoffset() == _NONE else value.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")
