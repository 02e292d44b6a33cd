"""Definitions as children of others: those that there are not, and those that contain themselves for ever."""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from contracts.definition import SagaDefinition, Step
from saga.check.findings import Finding, Placed

_SEVERAL = "integrations.parallel"
_ONE = ("integrations.child_saga", "integrations.for_each")
_ALWAYS = ("integrations.child_saga", _SEVERAL)


def check_children(definitions: Iterable[Placed[SagaDefinition]]) -> Iterator[Finding]:
    """What is wrong with the children that these definitions have among them."""
    placed = {one.content.ref: one for one in definitions}
    always: dict[str, dict[str, int]] = {ref: {} for ref in placed}
    for ref, one in placed.items():
        for index, step in enumerate(one.content.steps):
            for child in _children(step):
                if child not in placed:
                    detail = f"{step.name} runs {child}, which is not among what was checked"
                    yield Finding("child.unknown", one.place, f"/steps/{index}/input", detail)
                elif step.when is None and step.action in _ALWAYS:
                    always[ref].setdefault(child, index)
    try:
        TopologicalSorter({ref: sorted(children) for ref, children in always.items()}).prepare()
    except CycleError as error:
        # The sorter names each before the one that leads to it.
        circle = list(reversed(error.args[1]))
        index = always[circle[0]][circle[1]]
        detail = f"children contain each other for ever: {' -> '.join(circle)}"
        yield Finding("child.cycle", placed[circle[0]].place, f"/steps/{index}", detail)


def _children(step: Step) -> list[str]:
    """The children that a step names; what it takes from elsewhere is not known."""
    named: list[object] = []
    if step.action in _ONE:
        named = [step.input.get("definition")]
    elif step.action == _SEVERAL and isinstance(branches := step.input.get("branches"), dict):
        named = [branch.get("definition") for branch in branches.values() if isinstance(branch, dict)]
    return [ref for ref in named if isinstance(ref, str) and "{" not in ref]
