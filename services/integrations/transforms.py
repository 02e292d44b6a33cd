"""The operations of a transformation, each a function from JSON data to JSON data. Runs in the bounded process."""

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from contracts.failure import InvalidContract
from contracts.integrations import (
    Aggregate,
    CalculateFields,
    FilterItems,
    FormatFields,
    GroupItems,
    MapItems,
    MergeWith,
    Operation,
    RenameFields,
    SortItems,
)
from contracts.references import compile_template
from services.integrations.expressions import evaluate, holds

MAX_ITEMS = 10_000


def transform(data: Any, operations: tuple[Operation, ...]) -> Any:
    """The data after all operations. Raises InvalidContract, naming the operation by its JSON pointer."""
    for index, operation in enumerate(operations):
        try:
            data = _apply(operation, data)
        except InvalidContract as error:
            raise InvalidContract(f"/operations/{index}: {operation.op}: {error}") from error
    return data


def _apply(operation: Operation, data: Any) -> Any:
    match operation:
        case MapItems(to=to):
            return [evaluate(to, {"item": item, "data": data}) for item in _list(data)]
        case FilterItems(where=where):
            return [item for item in _list(data) if holds(where, {"item": item, "data": data})]
        case RenameFields(fields=names):
            return _each(data, lambda item: _renamed(item, names))
        case CalculateFields(fields=formulas):
            return _each(
                data,
                lambda item: item | {name: evaluate(by, {"item": item}) for name, by in formulas.items()},
            )
        case FormatFields(fields=texts):
            template = compile_template(texts, {"item"})
            return _each(data, lambda item: item | template.resolve({"item": item}))
        case MergeWith(given=given):
            return _merged(data, given)
        case SortItems(by=fields):
            return sorted(_list(data), key=cmp_to_key(lambda one, other: _order(one, other, fields)))
        case GroupItems():
            return _grouped(_list(data), operation)


def _list(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidContract(f"expected a list, not {_kind(data)}")
    if len(data) > MAX_ITEMS:
        raise InvalidContract(f"a list of {len(data)} items: expected at most {MAX_ITEMS}")
    return data


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidContract(f"expected an object, not {_kind(data)}")
    return data


def _each(data: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(data, list):
        return [change(_object(item)) for item in _list(data)]
    return change(_object(data))


def _renamed(item: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    if missing := names.keys() - item.keys():
        raise InvalidContract(f"no field {min(missing)!r}, but: {', '.join(sorted(item)):.300}")
    renamed = [names.get(field, field) for field in item]
    if len(set(renamed)) < len(renamed):
        raise InvalidContract("two fields would have the same name")
    return dict(zip(renamed, item.values(), strict=True))


def _merged(data: Any, given: Any) -> Any:
    if isinstance(data, list) and isinstance(given, list):
        return [*data, *given]
    if isinstance(data, dict) and isinstance(given, dict):
        both = {
            field: _merged(data[field], item)
            if isinstance(data.get(field), dict) and isinstance(item, dict)
            else item
            for field, item in given.items()
        }
        return data | both
    raise InvalidContract(f"expected two objects or two lists, not {_kind(data)} and {_kind(given)}")


def _order(one: Any, other: Any, fields: tuple[str, ...]) -> int:
    for field in fields:
        name = field.removeprefix("-")
        left, right = _object(one).get(name), _object(other).get(name)
        if left == right:
            continue
        if left is None or right is None:
            return 1 if left is None else -1
        order = _compared(left, right, name)
        return -order if field.startswith("-") else order
    return 0


def _compared(left: Any, right: Any, name: str) -> int:
    numbers = _number(left) and _number(right)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise InvalidContract(f"field {name!r}: {_kind(left)} and {_kind(right)} have no order")
    return -1 if left < right else 1


def _grouped(items: list[Any], operation: GroupItems) -> list[dict[str, Any]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for item in map(_object, items):
        value = item.get(operation.by)
        if isinstance(value, dict | list):
            raise InvalidContract(f"field {operation.by!r}: cannot group by {_kind(value)}")
        # true and 1 are different values, whatever Python says.
        groups.setdefault((isinstance(value, bool), value), []).append(item)
    return [
        {operation.by: value}
        | {name: _aggregate(aggregate, group) for name, aggregate in operation.aggregates.items()}
        | ({"items": group} if operation.keep_items else {})
        for (_, value), group in groups.items()
    ]


def _aggregate(aggregate: Aggregate, group: list[dict[str, Any]]) -> Any:
    if aggregate.of == "count":
        return len(group)
    numbers = [item[aggregate.field] for item in group if item.get(aggregate.field) is not None]
    if not all(map(_number, numbers)):
        raise InvalidContract(f"{aggregate.of} of {aggregate.field!r}: expected numbers")
    match aggregate.of:
        case "sum":
            return sum(numbers)
        case "min":
            return min(numbers, default=None)
        case "max":
            return max(numbers, default=None)
        case "average":
            return sum(numbers) / len(numbers) if numbers else None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
