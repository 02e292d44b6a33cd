"""The order of a definition's steps, worked out once: who follows whom, and what data must be carried."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from contracts.references import Reference


@dataclass(frozen=True)
class CarriedFields:
    """Which fields of the input and of earlier outputs are still needed after a step."""

    input: frozenset[str]
    steps: Mapping[str, frozenset[str]]


class Graph:
    """The DAG of one definition, by step name. Names are assumed to exist; `cycle` tells if it is no DAG.

    `continues` are the steps whose failure does not abort the saga.
    """

    def __init__(
        self,
        after: Mapping[str, tuple[str, ...]],
        references: Mapping[str, Iterable[Reference]],
        continues: Iterable[str] = (),
    ) -> None:
        self.predecessors = {step: tuple(dict.fromkeys(before)) for step, before in after.items()}
        self.continues = frozenset(continues)
        self._references = {step: tuple(found) for step, found in references.items()}

    @cached_property
    def cycle(self) -> list[str]:
        try:
            TopologicalSorter(self.predecessors).prepare()
        except CycleError as error:
            return list(error.args[1])
        return []

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The steps, each after those it follows."""
        return tuple(TopologicalSorter(self.predecessors).static_order())

    @cached_property
    def roots(self) -> tuple[str, ...]:
        return tuple(step for step, before in self.predecessors.items() if not before)

    @cached_property
    def successors(self) -> dict[str, tuple[str, ...]]:
        return {
            step: tuple(other for other, before in self.predecessors.items() if step in before)
            for step in self.predecessors
        }

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        return _closure(self.order, self.predecessors)

    @cached_property
    def descendants(self) -> dict[str, frozenset[str]]:
        return _closure(tuple(reversed(self.order)), self.successors)

    @cached_property
    def carried(self) -> dict[str, CarriedFields]:
        """Per step, what its descendants refer to: carried in its fact so that they need no read."""
        return {step: self._carried_after(step) for step in self.predecessors}

    def _carried_after(self, step: str) -> CarriedFields:
        needed = [ref for later in self.descendants[step] for ref in self._references[later]]
        steps: dict[str, set[str]] = {}
        for reference in needed:
            # The step's own output is in its fact anyway.
            if reference.step is not None and reference.step in self.ancestors[step]:
                steps.setdefault(reference.step, set()).add(str(reference.path[1]))
        return CarriedFields(
            input=frozenset(str(ref.path[0]) for ref in needed if ref.root == "input"),
            steps={name: frozenset(fields) for name, fields in steps.items()},
        )


def _closure(order: tuple[str, ...], towards: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    reached: dict[str, frozenset[str]] = {}
    for step in order:
        reached[step] = frozenset(towards[step]).union(*(reached[other] for other in towards[step]))
    return reached
