"""The history of webhooks: what was told to whom, and every attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic_core import from_json
from sqlalchemy import ColumnElement, exists, tuple_
from sqlmodel import col, select

from contracts.failure import NotFound
from contracts.webhooks import Delivery, DeliveryAttempt, DeliveryPage, DeliveryStory
from events.database import Database
from saga.cursors import fingerprint, read_moment, write_cursor
from services.integrations.tables import WebhookAttempt, WebhookDelivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which deliveries. Empty fields filter nothing; `endpoint` None: whether to an endpoint or to a URL."""

    endpoint: str | None = None
    saga_id: str = ""
    type: str = ""
    delivered: bool | None = None


class Deliveries:
    """Questions to the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted, *, limit: int, cursor: str | None) -> DeliveryPage:
        """Deliveries, newest first. Raises InvalidContract if the cursor is not one of these filters."""
        table = WebhookDelivery
        question = fingerprint(wanted)
        query = select(table).where(*_conditions(wanted))
        if cursor is not None:
            place = read_moment(cursor, question)
            query = query.where(tuple_(col(table.created_at), col(table.webhook_id)) < place)
        query = query.order_by(col(table.created_at).desc(), col(table.webhook_id).desc()).limit(limit + 1)
        async with self._database.transaction() as session:
            rows = list((await session.exec(query)).all())
            ids = [row.webhook_id for row in rows[:limit]]
            attempts = select(WebhookAttempt).where(col(WebhookAttempt.webhook_id).in_(ids))
            found = list((await session.exec(attempts)).all())
        items = [
            _told(row, [one for one in found if one.webhook_id == row.webhook_id]) for row in rows[:limit]
        ]
        more = len(rows) > limit
        last = rows[limit - 1] if more else None
        after = write_cursor([last.created_at.isoformat(), last.webhook_id], question) if last else None
        return DeliveryPage(items=items, next_cursor=after)

    async def get(self, webhook_id: str) -> DeliveryStory:
        """Raises NotFound."""
        query = select(WebhookAttempt).where(WebhookAttempt.webhook_id == webhook_id)
        async with self._database.transaction() as session:
            row = await session.get(WebhookDelivery, webhook_id)
            if row is None:
                raise NotFound(f"no webhook delivery {webhook_id!r}")
            attempts = (await session.exec(query.order_by(col(WebhookAttempt.id)))).all()
        fields = set(DeliveryAttempt.model_fields)
        return DeliveryStory(
            **_told(row, attempts).model_dump(),
            body=from_json(row.body),
            history=[DeliveryAttempt(**attempt.model_dump(include=fields)) for attempt in attempts],
        )


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    table = WebhookDelivery
    equal = {
        table.saga_id: wanted.saga_id or None,
        table.type: wanted.type or None,
        table.endpoint: wanted.endpoint,
    }
    conditions = [col(column) == value for column, value in equal.items() if value is not None]
    if wanted.delivered is not None:
        succeeded = exists().where(
            col(WebhookAttempt.webhook_id) == col(table.webhook_id),
            col(WebhookAttempt.status).between(200, 299),
        )
        conditions.append(succeeded if wanted.delivered else ~succeeded)
    return conditions


def _told(row: WebhookDelivery, attempts: Sequence[WebhookAttempt]) -> Delivery:
    return Delivery(
        **row.model_dump(include={"webhook_id", "saga_id", "endpoint", "type", "url", "created_at"}),
        status=_status(attempts),
        attempts=len(attempts),
    )


def _status(attempts: Sequence[WebhookAttempt]) -> Literal["pending", "delivered", "failed"]:
    if not attempts:
        return "pending"
    succeeded = any(attempt.status is not None and attempt.status // 100 == 2 for attempt in attempts)
    return "delivered" if succeeded else "failed"
