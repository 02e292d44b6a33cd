"""The diagram of one saga: the path it took through its contract, with times, and its wave back."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from contracts.definition import SagaDefinition
from contracts.facts import ABORTED_KEY, FactKey, Recorded
from contracts.subjects import SAGA_STEP
from saga.diagrams.contract import order_arrows
from saga.diagrams.model import Arrow, Box, Diagram, Look
from saga.state import SagaState, SagaStatus, StepState, StepStatus, fold

_LOOKS = {
    StepStatus.PENDING: Look.IDLE,
    StepStatus.HELD: Look.WAITING,
    StepStatus.SUSPENDED: Look.WAITING,
    StepStatus.RUNNING: Look.ACTIVE,
    StepStatus.RETRYING: Look.WAITING,
    StepStatus.COMPLETED: Look.DONE,
    StepStatus.SKIPPED: Look.IDLE,
    StepStatus.FAILED: Look.FAILED,
    StepStatus.COMPENSATING: Look.ACTIVE,
    StepStatus.COMPENSATED: Look.UNDONE,
    StepStatus.STOOD_DOWN: Look.FAILED,
    StepStatus.COMPENSATION_FAILED: Look.FAILED,
    StepStatus.COMPENSATION_SKIPPED: Look.FAILED,
}
_SAGA_LOOKS = {
    SagaStatus.COMPLETED: Look.DONE,
    SagaStatus.COMPENSATED: Look.UNDONE,
    SagaStatus.FAILED: Look.FAILED,
    SagaStatus.WAITING: Look.WAITING,
    SagaStatus.PAUSED: Look.WAITING,
}
_ABORT = "_abort"


def path_diagram(definition: SagaDefinition, facts: Sequence[Recorded]) -> Diagram:
    """The saga after these facts, given in stream order. Arrows back lead along the closing of steps."""
    state = fold(definition, facts)
    last: Mapping[FactKey, Recorded] = {recorded.fact.key: recorded for recorded in facts}
    begun = facts[0].fact.time
    order = {
        name: number
        for number, name in enumerate(
            sorted(
                (name for name, step in state.steps.items() if step.closed),
                key=lambda name: state.steps[name].sequence,
            ),
            1,
        )
    }
    saga_id = facts[0].fact.sagaid
    start = Box(
        SAGA_STEP, (definition.ref, saga_id, state.status.value), _SAGA_LOOKS.get(state.status, Look.START)
    )
    steps = (
        Box(name, (name, *_lines(step, begun, order.get(name))), _LOOKS[step.status])
        for name, step in state.steps.items()
    )
    return Diagram(
        title=f"{definition.ref} {saga_id}",
        boxes=(start, *steps, *_abort_box(last, begun)),
        arrows=(*order_arrows(definition), *_abort_arrow(definition, last), *_arrows_back(definition, state)),
    )


def _lines(step: StepState, begun: datetime, closed_as: int | None) -> Iterator[str]:
    attempts = f", attempt {step.attempt}" if step.attempt > 1 else ""
    yield f"{step.status.value}{attempts}"
    if step.ended_at is not None:
        took = f", took {step.duration_ms:.1f} ms" if step.duration_ms is not None else ""
        yield f"ended {_since(begun, step.ended_at)}{took}"
    if step.failure is not None:
        yield str(step.failure.get("code", ""))
    if step.closed_at is not None:
        yield f"closed as number {closed_as}, {_since(begun, step.closed_at)}"


def _since(begun: datetime, at: datetime) -> str:
    return f"+{(at - begun).total_seconds() * 1000:.1f} ms"


def _abort_box(last: Mapping[FactKey, Recorded], begun: datetime) -> Iterator[Box]:
    if ABORTED_KEY in last:
        fact = last[ABORTED_KEY].fact
        cause = fact.data["cause"]
        why = f"{cause} {fact.data['step']}" if cause == "step" else f"{cause} by {fact.data.get('by')}"
        yield Box(_ABORT, (f"aborted: {why}", _since(begun, fact.time)), Look.FAILED)


def _abort_arrow(definition: SagaDefinition, last: Mapping[FactKey, Recorded]) -> Iterator[Arrow]:
    if ABORTED_KEY in last:
        failed = last[ABORTED_KEY].fact.data.get("step")
        yield Arrow(failed if failed in definition.by_name else SAGA_STEP, _ABORT)


def _arrows_back(definition: SagaDefinition, state: SagaState) -> Iterator[Arrow]:
    """From each closed step to the nearest closed steps before it, which its closing lets go on."""
    closed = {name for name, step in state.steps.items() if step.closed}
    for step in closed:
        earlier = definition.graph.ancestors[step] & closed
        nearest = earlier.difference(*(definition.graph.ancestors[name] for name in earlier))
        for name in sorted(nearest):
            yield Arrow(step, name, back=True)
