"""The small sagas that several test files run."""

from typing import Any

from contracts.definition import SagaDefinition, Step
from contracts.retries import FixedRetry
from saga.action import ActionContext, Refused
from tests.world import Number, World

AGAIN = FixedRetry(max_attempts=3, delay_s=0.05)


def step(name: str, *after: str, source: str = "${input.value}", **options: Any) -> Step:
    return Step(name=name, action=f"test.{name}", after=after, input={"value": source}, **options)


CHAIN = SagaDefinition(
    name="chain",
    steps=(
        step("a"),
        step("b", "a", source="${steps.a.value}", retry=AGAIN),
        step("c", "b", source="${steps.b.value}", retry=AGAIN),
    ),
)
DIAMOND = SagaDefinition(
    name="diamond",
    steps=(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c", source="${steps.b.value}")),
)


async def refuse(ctx: ActionContext, command: Number) -> Number:
    raise Refused("test.no", "will not do")


def actions(world: World, *names: str) -> list[Any]:
    return [world.action(name) for name in names]
