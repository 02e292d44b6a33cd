"""The diagram of a contract: its steps in their order, what each does, and how it may end."""

from collections.abc import Collection, Iterator

from contracts.definition import SagaDefinition, Step
from contracts.retries import NoRetry
from contracts.subjects import SAGA_STEP
from saga.diagrams.model import Arrow, Box, Diagram, Look


def contract_diagram(definition: SagaDefinition, undoable: Collection[str]) -> Diagram:
    """`undoable` are the actions that are known to have a compensation."""
    start = Box(SAGA_STEP, (definition.ref,), Look.START)
    return Diagram(
        title=definition.ref,
        boxes=(start, *(_box(step, undoable) for step in definition.steps)),
        arrows=tuple(order_arrows(definition)),
    )


def order_arrows(definition: SagaDefinition) -> Iterator[Arrow]:
    """From each step to those that follow it; the first steps follow the start."""
    for step, before in definition.graph.predecessors.items():
        for name in before or (SAGA_STEP,):
            yield Arrow(name, step)


def _box(step: Step, undoable: Collection[str]) -> Box:
    compensable = step.compensate and step.action in undoable
    notes = [
        "can be undone" if compensable else "",
        "pivot: from here only forward" if step.pivot else "",
        f"when {step.when}" if step.when else "",
        "goes on if it fails" if step.on_error == "continue" else "",
        "" if isinstance(step.retry, NoRetry) else f"up to {step.retry.max_attempts} attempts",
    ]
    look = Look.PIVOT if step.pivot else Look.UNDOABLE if compensable else Look.PLAIN
    return Box(step.name, (step.name, step.action, *filter(None, notes)), look)
