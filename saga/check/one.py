"""What can be known of one definition by itself: contracts, dead steps, budgets, compensations and the pivot."""

import re
from collections.abc import Callable, Iterator

from contracts.checks import contract_of, listed_values, shape_of, taken_at
from contracts.definition import SagaDefinition, Step
from contracts.failure import InvalidContract
from contracts.fitting import Shape, misfit
from contracts.references import condition_references
from contracts.retries import ExponentialRetry, NoRetry
from saga.check.findings import Finding
from saga.checks import definition_problems
from saga.conditions import holds

type Place = Callable[[str, str, str], Finding]
"""Makes a finding of a rule, a pointer and a detail"""

_COMPARED = re.compile(r"""^\(?\s*([A-Za-z_][\w.]*)\s*==\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\)?$""")
_MIXED = re.compile(r"\|\||[?!]|\(.*\(")


def check_one(definition: SagaDefinition, undoable: frozenset[str], at: Place) -> Iterator[Finding]:
    """`undoable` are the actions that are known to have a compensation."""
    for problem in definition_problems(definition):
        yield at("contract.broken", problem.pointer, problem.detail)
    yield from _misfits(definition, at)
    yield from _dead_steps(definition, at)
    yield from _budgets(definition, at)
    for index, step in enumerate(definition.steps):
        yield from _around_the_pivot(definition, step, f"/steps/{index}", undoable, at)


def _misfits(definition: SagaDefinition, at: Place) -> Iterator[Finding]:
    for index, step in enumerate(definition.steps):
        for use in step.uses:
            if use.pointer.startswith("/input"):
                given = shape_of(definition, use.reference) if use.whole else Shape({"type": "string"}, {})
                taken = taken_at(step, use.pointer.removeprefix("/input"))
                why = misfit(given, taken)
                if why and not (use.reference.optional and use.whole):
                    detail = f"${{{use.reference.text}}} yields {why}"
                    yield at("reference.type", f"/steps/{index}{use.pointer}", detail)


def _dead_steps(definition: SagaDefinition, at: Place) -> Iterator[Finding]:
    dead = set()
    for index, step in enumerate(definition.steps):
        if step.when and (reason := _never(definition, step.when)):
            dead.add(step.name)
            yield at("condition.never", f"/steps/{index}/when", f"{step.name} never runs: {reason}")
    for index, step in enumerate(definition.steps):
        for use in step.uses:
            if use.reference.step in dead and step.name not in dead and not use.reference.optional:
                detail = f"${{{use.reference.text}}} yields nothing: {use.reference.step} never runs"
                yield at("reference.to_dead_step", f"/steps/{index}{use.pointer}", detail)


def _never(definition: SagaDefinition, condition: str) -> str:
    """Why a condition can never hold; empty if it may."""
    try:
        if not condition_references(condition):
            return "" if holds(condition, {"input": {}, "steps": {}}) else f"{condition} is always false"
    except InvalidContract:
        # What cannot be read or evaluated is told as broken.
        return ""
    if _MIXED.search(condition):
        return ""
    for part in condition.split("&&"):
        found = _COMPARED.match(part.strip())
        references = condition_references(part) if found else ()
        if found is None or [one.text for one in references] != [found[1]]:
            continue
        literal = found[2] if found[2] is not None else found[3]
        kinds, values = shape_of(definition, references[0]).kinds(), listed_values(definition, references[0])
        if kinds is not None and "string" not in kinds:
            return f"{found[1]} is {' or '.join(sorted(kinds))}, never {literal!r}"
        if values is not None and literal not in values:
            return f"{found[1]} is one of {', '.join(sorted(map(str, values)))}, never {literal!r}"
    return ""


def _budgets(definition: SagaDefinition, at: Place) -> Iterator[Finding]:
    deadline = definition.deadline_s
    if deadline is None:
        return
    longest: dict[str, float] = {}
    for name in definition.graph.order:
        before = max((longest[other] for other in definition.graph.predecessors[name]), default=0.0)
        longest[name] = before + worst_s(definition.by_name[name])
    for index, step in enumerate(definition.steps):
        if (delays := _delays_s(step)) > deadline:
            detail = (
                f"{step.name} waits {delays:g} s between its attempts, and the deadline is {deadline:g} s"
            )
            yield at("retry.exceeds_deadline", f"/steps/{index}/retry", detail)
    last = max(longest, key=lambda name: longest[name])
    if longest[last] > deadline:
        detail = (
            f"the longest way, to {last}, may take {longest[last]:g} s, and the deadline is {deadline:g} s"
        )
        yield at("deadline.may_cut", "/deadline_s", detail)


def worst_s(step: Step) -> float:
    """How long a step may take if every attempt uses up its time, in seconds."""
    return step.retry.max_attempts * step.timeout_s + _delays_s(step)


def _delays_s(step: Step) -> float:
    spread = 1 + step.retry.jitter if isinstance(step.retry, ExponentialRetry) else 1
    return sum(step.retry.delay_after(attempt) for attempt in range(1, step.retry.max_attempts)) * spread


def _may_abort_after(definition: SagaDefinition, step: Step) -> str:
    """A step that may turn the saga round when this one has completed; empty if there is none."""
    pivot, graph = definition.pivot, definition.graph
    return next(
        (
            other
            for other in graph.order
            if other != step.name
            and other not in graph.ancestors[step.name]
            and definition.by_name[other].on_error == "abort"
            and not (pivot is not None and pivot.name in graph.ancestors[other])
        ),
        "",
    )


def _around_the_pivot(
    definition: SagaDefinition, step: Step, pointer: str, undoable: frozenset[str], at: Place
) -> Iterator[Finding]:
    pivot = definition.pivot
    behind = pivot is not None and pivot.name in definition.graph.ancestors[step.name]
    if step.action in undoable and not step.compensate and not behind and not step.pivot:
        detail = f"{step.action} can be undone, but {step.name} will not be: its effect stays after an abort"
        yield at("compensation.off", f"{pointer}/compensate", detail)
    if not behind and not step.pivot and (later := _may_abort_after(definition, step)):
        contract = contract_of(step.action)
        if contract is not None and not contract.compensable and not contract.reads_only:
            detail = f"{step.action} cannot be undone: if {later} fails, what {step.name} has done stays"
            yield at("compensation.missing", f"{pointer}/action", detail)
    if pivot is None or step.pivot:
        return
    if behind:
        if step.action in undoable and step.compensate:
            detail = f"{step.name} comes after the pivot {pivot.name}: it is never undone"
            yield at("compensation.unreachable", pointer, detail)
        if step.on_error == "abort" and isinstance(step.retry, NoRetry):
            detail = f"{step.name} has one attempt; if it fails, nothing can turn the saga round any more"
            yield at("pivot.behind", f"{pointer}/retry", detail)
    elif step.name not in definition.graph.ancestors[pivot.name] and step.on_error == "abort":
        detail = (
            f"{step.name} runs beside the pivot {pivot.name}: if it fails after {pivot.name} has completed, nothing "
            "is undone, and a person must act"
        )
        yield at("pivot.beside", pointer, detail)
