"""The data a step sees and passes on: carried in the facts, so that a step after one step needs no read."""

from typing import Any

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, FactKey, Facts
from contracts.references import Scope


def scope_of(
    definition: SagaDefinition, step: str, facts: Facts, needed: tuple[tuple[FactKey, ...], ...]
) -> Scope:
    """The data a due step sees: the input, or what the facts before it carry, and their outputs."""
    if not definition.graph.predecessors[step]:
        return {"input": facts[STARTED_KEY].fact.data["input"], "steps": {}}
    scope: dict[str, dict[str, Any]] = {"input": {}, "steps": {}}
    for group in needed:
        for key in group:
            if key in facts:
                _merge(scope, key[0], facts[key].fact.data)
    return scope


def _merge(scope: dict[str, dict[str, Any]], step: str, data: dict[str, Any]) -> None:
    carried = data.get("carried", {})
    scope["input"].update(carried.get("input", {}))
    scope["steps"].update(carried.get("steps", {}))
    if "output" in data:
        scope["steps"][step] = data["output"]


def carry(definition: SagaDefinition, step: str, scope: Scope) -> dict[str, Any]:
    """What the step's fact must carry on of the data it saw, for the steps after it (JSON of `Carried`)."""
    needed = definition.graph.carried[step]
    earlier, given = scope["steps"], scope["input"]
    return {
        "input": {name: given[name] for name in needed.input if name in given},
        "steps": {
            name: {field: earlier[name][field] for field in fields if field in earlier[name]}
            for name, fields in needed.steps.items()
            if name in earlier
        },
    }
