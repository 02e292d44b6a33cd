"""What the integrations keep: endpoints of webhooks and what they were told, and transformation rules."""

from collections.abc import AsyncIterator

from pydantic import BaseModel, JsonValue

from contracts.integrations import TransformationRule
from contracts.transformation_rules import RuleSummary, TrialAnswer
from contracts.webhooks import Delivery, DeliveryStory, Endpoint, EndpointSettings, NewEndpoint
from saga.remote.transport import Transport, route

_DELIVERIES, _RULES = "webhook-deliveries", "transformation-rules"


class Webhooks:
    """Endpoints by name, and the history of what was told."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, endpoint: NewEndpoint) -> Endpoint:
        """Raises RemoteConflict (the name is taken), RemoteInvalid."""
        return await self._endpoint("POST", route("webhooks"), endpoint)

    def all(self) -> AsyncIterator[Endpoint]:
        """Every endpoint, by name."""
        return self._transport.all(route("webhooks"), Endpoint)

    async def get(self, name: str) -> Endpoint:
        """Raises RemoteNotFound."""
        return await self._endpoint("GET", route("webhooks", name))

    async def replace(self, name: str, settings: EndpointSettings) -> Endpoint:
        """All settings but the name, at once. Raises RemoteNotFound, RemoteInvalid."""
        return await self._endpoint("PUT", route("webhooks", name), settings)

    async def delete(self, name: str) -> Endpoint:
        """Take it away; its history stays. Raises RemoteNotFound."""
        return await self._endpoint("DELETE", route("webhooks", name))

    def deliveries(
        self,
        *,
        endpoint: str | None = None,
        saga_id: str | None = None,
        type: str | None = None,
        delivered: bool | None = None,
    ) -> AsyncIterator[Delivery]:
        """What was told, newest first; `endpoint` empty: to a URL."""
        query = {"endpoint": endpoint, "saga_id": saga_id, "type": type, "delivered": delivered}
        return self._transport.all(route(_DELIVERIES), Delivery, query)

    async def delivery(self, webhook_id: str) -> DeliveryStory:
        """One with its body and attempts. Raises RemoteNotFound."""
        return await self._story("GET", route(_DELIVERIES, webhook_id))

    async def redeliver(self, webhook_id: str) -> DeliveryStory:
        """Tell it once more; the last of `history` says what came of it. Raises RemoteNotFound, RemoteConflict."""
        return await self._story("POST", route(_DELIVERIES, webhook_id, "redeliver"))

    async def _endpoint(self, method: str, path: str, told: BaseModel | None = None) -> Endpoint:
        body = told.model_dump(mode="json") if told else None
        return Endpoint.model_validate((await self._transport.ask(method, path, body=body)).body)

    async def _story(self, method: str, path: str) -> DeliveryStory:
        return DeliveryStory.model_validate((await self._transport.ask(method, path)).body)


class TransformationRules:
    """Rules by name and version; a version stays as it is."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def store(self, rule: TransformationRule) -> TransformationRule:
        """Raises RemoteConflict (the version has another content), RemoteInvalid."""
        body = rule.model_dump(mode="json", by_alias=True)
        return await self._rule("POST", route(_RULES), body)

    def all(self, name: str | None = None) -> AsyncIterator[RuleSummary]:
        """By name and version."""
        return self._transport.all(route(_RULES), RuleSummary, {"name": name})

    async def get(self, name: str, version: str | None = None) -> TransformationRule:
        """That version, or the latest. Raises RemoteNotFound."""
        return await self._rule("GET", route(_RULES, name, *([version] if version else [])))

    async def attempt(self, name: str, version: str, data: JsonValue) -> JsonValue:
        """What the rule makes of data; nothing is kept. Raises RemoteNotFound, RemoteInvalid."""
        answer = await self._transport.ask("POST", route(_RULES, name, version, "try"), body={"data": data})
        return TrialAnswer.model_validate(answer.body).result

    async def _rule(self, method: str, path: str, body: object = None) -> TransformationRule:
        return TransformationRule.model_validate((await self._transport.ask(method, path, body=body)).body)
