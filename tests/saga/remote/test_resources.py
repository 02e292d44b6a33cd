"""Breakers, triggers, webhooks and rules by the client, against the real API."""

import pytest

from contracts.breakers import BreakerConfig
from contracts.integrations import TransformationRule
from contracts.triggers import Outcome
from contracts.webhooks import EndpointSettings, NewEndpoint
from saga.action import Unavailable
from saga.api.parts import Parts
from saga.breaker import shared_breakers
from saga.execution import counts_against
from saga.remote.client import Api
from saga.remote.errors import RemoteConflict, RemoteInvalid, RemoteNotFound, RemoteStale
from saga.workflows.catalogue import Words
from tests.saga.workflows.documents import workflow
from tests.world import Running

ADA = {"by": "ada", "reason": "a test"}


async def test_a_breaker_is_configured_reset_and_deleted(api: Api, running: Running) -> None:
    config = BreakerConfig(failure_threshold=1, reset_timeout_s=600.0)
    async with shared_breakers(running.bus, config, fails=counts_against) as breakers:
        with pytest.raises(Unavailable):
            async with breakers.get("operator.mpesa"):
                raise Unavailable("t.down", "down")
        configured = await api.breakers.configure("operator.mpesa", config, **ADA)
        assert (configured.state, configured.config) == ("open", config)
        assert [one.name for one in await api.breakers.all()] == ["operator.mpesa"]
        with pytest.raises(RemoteConflict):
            await api.breakers.delete("operator.mpesa", **ADA)
        assert (await api.breakers.reset("operator.mpesa", **ADA)).state == "closed"
        assert (await api.breakers.get("operator.mpesa")).config == config
        await api.breakers.delete("operator.mpesa", **ADA)
    with pytest.raises(RemoteNotFound):
        await api.breakers.get("operator.mpesa")


async def test_a_trigger_is_changed_over_what_was_read_and_fired_once(api: Api, parts: Parts) -> None:
    await parts.catalogue.create(workflow(), Words(by="ada"), activate=True)
    wanted = {"kind": "MANUAL", "name": "by-hand", "workflow": "orders"}
    first = await api.triggers.create(wanted, **ADA)
    second = await api.triggers.update("by-hand", {**wanted, "description": "x"}, etag=first.etag, **ADA)
    with pytest.raises(RemoteStale):
        await api.triggers.update("by-hand", wanted, etag=first.etag)
    assert (await api.triggers.get("by-hand")).etag == second.etag
    fired = await api.triggers.fire("by-hand", {"value": 1}, by="ada", event_id="e1")
    again = await api.triggers.fire("by-hand", {"value": 1}, by="ada", event_id="e1")
    assert (fired.outcome, again.outcome, again.saga_id) == ("started", "repeated", fired.saga_id)
    firings = [one async for one in api.triggers.firings("by-hand", outcome=Outcome.STARTED)]
    assert [one.saga_id for one in firings] == [fired.saga_id]
    await api.triggers.disable("by-hand", **ADA)
    with pytest.raises(RemoteConflict):
        await api.triggers.fire("by-hand", by="ada")
    assert [one.trigger.name async for one in api.triggers.all(enabled=False)] == ["by-hand"]
    assert (await api.triggers.enable("by-hand", **ADA)).answer.trigger.enabled
    await api.triggers.delete("by-hand")
    with pytest.raises(RemoteNotFound):
        await api.triggers.get("by-hand")
    with pytest.raises(RemoteInvalid) as caught:
        await api.triggers.create({**wanted, "workflow": 7})
    assert [error.pointer for error in caught.value.errors] == ["/workflow"]


async def test_an_endpoint_is_kept_and_its_history_asked_for(api: Api) -> None:
    endpoint = NewEndpoint(name="crm", url="https://crm.example/hooks", secrets=("hook",))
    created = await api.webhooks.create(endpoint)
    with pytest.raises(RemoteConflict):
        await api.webhooks.create(endpoint)
    settings = EndpointSettings(url=endpoint.url, secrets=("hook",), enabled=False)
    assert not (await api.webhooks.replace("crm", settings)).enabled
    assert [one.created_at async for one in api.webhooks.all()] == [created.created_at]
    assert [one async for one in api.webhooks.deliveries(endpoint="crm", delivered=True)] == []
    for asking in (api.webhooks.delivery("msg_x"), api.webhooks.redeliver("msg_x")):
        with pytest.raises(RemoteNotFound):
            await asking
    await api.webhooks.delete("crm")
    with pytest.raises(RemoteNotFound):
        await api.webhooks.get("crm")


async def test_a_rule_is_stored_tried_and_stays_as_it_is(api: Api) -> None:
    rule = TransformationRule.model_validate(
        {"name": "cheapest", "version": "1", "operations": [{"op": "sort", "by": ["price"]}]}
    )
    assert await api.transformation_rules.store(rule) == rule
    assert await api.transformation_rules.get("cheapest") == rule
    assert await api.transformation_rules.get("cheapest", "1") == rule
    assert [one.version async for one in api.transformation_rules.all("cheapest")] == ["1"]
    tried = await api.transformation_rules.attempt("cheapest", "1", [{"price": 2}, {"price": 1}])
    assert tried == [{"price": 1}, {"price": 2}]
    with pytest.raises(RemoteConflict):
        await api.transformation_rules.store(rule.model_copy(update={"description": "another"}))
