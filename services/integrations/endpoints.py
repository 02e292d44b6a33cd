"""Endpoints of webhooks by name, in webhook_call's own database; all its replicas go by them at once."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.failure import Conflict, NotFound
from contracts.webhooks import Endpoint, EndpointSettings, NewEndpoint
from events.clock import Clock
from events.database import Database, one_at_a_time
from saga.action import Refused
from services.integrations.tables import WebhookEndpoint


class Endpoints:
    """Sets endpoints up and changes them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, wanted: NewEndpoint) -> Endpoint:
        """Raises Conflict if the name is taken."""
        now = self._clock()
        async with self._database.transaction() as session:
            await one_at_a_time(session, f"endpoint {wanted.name}")
            if await session.get(WebhookEndpoint, wanted.name) is not None:
                raise Conflict(f"there is an endpoint {wanted.name}: change it, or choose another name")
            row = WebhookEndpoint(
                name=wanted.name, settings=_settings(wanted), created_at=now, updated_at=now
            )
            session.add(row)
        return _told(row)

    async def get(self, name: str) -> Endpoint:
        """Raises NotFound."""
        async with self._database.transaction() as session:
            return _told(await _row(session, name))

    async def page(self, after: str, limit: int) -> list[Endpoint]:
        """Endpoints by name, after a name."""
        table = WebhookEndpoint
        query = select(table).where(col(table.name) > after).order_by(col(table.name)).limit(limit)
        async with self._database.transaction() as session:
            return [_told(row) for row in await session.exec(query)]

    async def replace(self, name: str, settings: EndpointSettings) -> Endpoint:
        """Give an endpoint these settings, all of them. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await _row(session, name)
            row.settings, row.updated_at = _settings(settings), self._clock()
            session.add(row)
        return _told(row)

    async def remove(self, name: str) -> Endpoint:
        """Take an endpoint away; what it was told stays in the history. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await _row(session, name)
            await session.delete(row)
        return _told(row)


async def addressee(session: AsyncSession, name: str, event_type: str) -> Endpoint:
    """The endpoint that is to hear of an event. Raises Refused: unknown, disabled, or it does not want to."""
    try:
        endpoint = _told(await _row(session, name))
    except NotFound as error:
        raise Refused("webhook.no_endpoint", str(error)) from error
    if not endpoint.enabled:
        raise Refused("webhook.disabled", f"endpoint {name} is disabled")
    if not endpoint.wants(event_type):
        raise Refused("webhook.not_wanted", f"endpoint {name} does not want to hear of {event_type}")
    return endpoint


async def _row(session: AsyncSession, name: str) -> WebhookEndpoint:
    row = await session.get(WebhookEndpoint, name)
    if row is None:
        raise NotFound(f"no webhook endpoint {name!r}")
    return row


def _settings(endpoint: EndpointSettings) -> dict[str, object]:
    return endpoint.model_dump(mode="json", include=set(EndpointSettings.model_fields))


def _told(row: WebhookEndpoint) -> Endpoint:
    return Endpoint.model_validate(
        {**row.settings, "name": row.name, "created_at": row.created_at, "updated_at": row.updated_at}
    )
