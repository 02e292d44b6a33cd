"""What `saga step` needs around a stepper: a bus, the definitions, and the actions that the step may need."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pydantic import ValidationError

from contracts.children import child_refs
from contracts.definition import SagaDefinition
from contracts.facts import explain
from contracts.failure import InvalidContract, NotFound
from events.bus import Bus
from events.definitions import Definitions
from events.settings import BusSettings
from events.streams import declare
from saga.cli.output import say
from saga.client import SagaClient, StartOptions
from saga.domains import domain_actions
from saga.service import ServiceSettings
from saga.stepping import Stepper, stepping
from saga.topology import consumers_for

_WAIT_S = 3_600.0


async def start(definition: str, saga_id: str, environment: Mapping[str, str]) -> None:
    """Make the definitions in the environment known, and start the saga; nothing if it was started before.

    Raises InvalidContract, and as SagaClient.start.
    """
    given = _json(environment, "SAGA_STEP_INPUT", "{}")
    if not isinstance(given, dict):
        raise InvalidContract("SAGA_STEP_INPUT must be a JSON object")
    try:
        wanted = [
            SagaDefinition.model_validate(one) for one in _json(environment, "SAGA_STEP_DEFINITIONS", "[]")
        ]
    except ValidationError as error:
        raise InvalidContract(f"SAGA_STEP_DEFINITIONS: {explain(error)}") from error
    async with await Bus.connect(BusSettings()) as bus:
        await declare(bus)
        async with Definitions.open(bus) as definitions:
            # Children before those that begin them.
            for one in reversed(wanted):
                await definitions.publish(one, consumers_for)
            started = await SagaClient(bus, definitions).start(
                definition, given, StartOptions(saga_id=saga_id)
            )
            say(f"saga {started.saga_id} of {started.definition}")


@asynccontextmanager
async def stepper(
    environment: Mapping[str, str], definition: str = "", steps: Sequence[str] | None = None
) -> AsyncIterator[Stepper]:
    """A stepper that has the actions of these steps of a definition, or of all its steps, and of the sagas that
    they begin. Without a definition it has none, and can tell of sagas and turn them round.

    Raises NotFound.
    """
    wait_s = float(environment.get("SAGA_STEP_WAIT_S", _WAIT_S))
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await Bus.connect(BusSettings()))
        await declare(bus)
        definitions = await stack.enter_async_context(Definitions.open(bus))
        names = await _actions(definitions, definition, steps) if definition else set()
        actions = [
            action
            for domain in sorted({name.partition(".")[0] for name in names})
            for action in domain_actions(domain)
            if action.name in names
        ]
        settings = ServiceSettings()
        yield await stack.enter_async_context(
            stepping(actions, bus, definitions, settings, wait_s=wait_s, environment=environment)
        )


async def _actions(definitions: Definitions, ref: str, steps: Sequence[str] | None) -> set[str]:
    found = await definitions.fetch(ref)
    if found is None:
        raise NotFound(f"no definition {ref}: `saga step start` makes it known")
    names: set[str] = set()
    for step in found.steps:
        if steps is None or step.name in steps:
            names.add(step.action)
            for child in child_refs(step):
                names |= await _actions(definitions, child, None)
    return names


def _json(environment: Mapping[str, str], name: str, default: str) -> Any:
    try:
        return json.loads(environment.get(name, default))
    except ValueError as error:
        raise InvalidContract(f"{name} is no JSON: {error}") from error
