"""Expressions and schemas inside the inputs of generic steps, judged when a workflow is sent instead of when it runs.

Only what is written out: where a reference decides at run time what an expression is, nothing can be said of it.
"""

from collections.abc import Iterator
from typing import Any

from contracts.failure import InvalidContract
from contracts.pointers import Problem, child
from contracts.references import InvalidTemplate, compile_template
from contracts.workflows import GenericStep
from saga.conditions import check_expression
from saga.json_schemas import check_schema


def expression_problems(step: GenericStep) -> Iterator[Problem]:
    """What is no CEL and no JSON Schema in the step, with pointers into it."""
    for pointer, value in _written(step):
        literal = _literal(value)
        try:
            if isinstance(literal, str):
                check_expression(literal)
            elif isinstance(literal, dict):
                check_schema(literal)
        except InvalidContract as error:
            yield Problem(pointer, str(error))


def _literal(value: Any) -> Any:
    """The value as the action is given it; None if that depends on references, or they are written wrongly."""
    try:
        template = compile_template(value)
    except InvalidTemplate:
        return None
    return None if template.uses else template.resolve({"input": {}, "steps": {}})


def _written(step: GenericStep) -> Iterator[tuple[str, Any]]:
    """Expressions (texts) and schemas (objects)."""
    match step.type:
        case "DATA_TRANSFORM":
            for at, operation in _items(step.input, "operations"):
                yield from _of_operation(operation, at)
        case "CONDITIONAL":
            for at, branch in _items(step.input, "branches"):
                yield from _of_condition(branch.get("when"), f"{at}/when")
        case "VALIDATION":
            if isinstance(schema := step.input.get("schema"), dict):
                yield "/input/schema", schema
            for at, rule in _items(step.input, "rules"):
                yield from _of_condition(rule.get("holds"), f"{at}/holds")
        case _:
            return


def _of_operation(operation: dict[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    match operation:
        case {"op": "map", "to": str(expression)}:
            yield f"{at}/to", expression
        case {"op": "filter", "where": str(expression)}:
            yield f"{at}/where", expression
        case {"op": "calculate", "fields": dict(fields)}:
            yield from (
                (child(f"{at}/fields", name), one) for name, one in fields.items() if isinstance(one, str)
            )


def _of_condition(condition: Any, at: str) -> Iterator[tuple[str, Any]]:
    """The expressions in a tree of conditions."""
    left = [(at, condition)]
    while left:
        match left.pop():
            case pointer, str(expression):
                yield pointer, expression
            case pointer, dict(tree):
                left += [(f"{pointer}/not", tree["not"])] if "not" in tree else []
                for several in ("all", "any"):
                    if isinstance(parts := tree.get(several), list):
                        left += [(f"{pointer}/{several}/{index}", part) for index, part in enumerate(parts)]


def _items(input: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = input.get(name)
    for index, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            yield f"/input/{name}/{index}", item
