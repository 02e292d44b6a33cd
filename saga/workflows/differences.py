"""What is different between two versions of a workflow. Steps are compared by their names, not by their places."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from contracts.pointers import child


@dataclass(frozen=True, slots=True)
class Difference:
    """`pointer` leads into the later document; of what was removed, into the earlier one.

    `moved`: a list has the same steps in another order; before and after are their names.
    """

    kind: Literal["added", "removed", "changed", "moved"]
    pointer: str
    before: Any = None
    after: Any = None


def differences(before: Any, after: Any, pointer: str = "") -> list[Difference]:
    """Every difference between two JSON values, none if they are equal."""
    return list(_differences(before, after, pointer))


def _differences(before: Any, after: Any, pointer: str) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(before, after, pointer)
    elif (earlier := _by_name(before)) and (later := _by_name(after)):
        yield from _of_steps(earlier, later, pointer)
    elif _canonical(before) != _canonical(after):
        yield Difference("changed", pointer, before, after)


def _of_objects(before: dict[str, Any], after: dict[str, Any], pointer: str) -> Iterator[Difference]:
    for name in [name for name in before if name not in after]:
        yield Difference("removed", child(pointer, name), before=before[name])
    for name, value in after.items():
        if name in before:
            yield from _differences(before[name], value, child(pointer, name))
        else:
            yield Difference("added", child(pointer, name), after=value)


def _of_steps(before: dict[str, Any], after: dict[str, Any], pointer: str) -> Iterator[Difference]:
    for index, (name, step) in enumerate(before.items()):
        if name not in after:
            yield Difference("removed", child(pointer, index), before=step)
    for index, (name, step) in enumerate(after.items()):
        if name in before:
            yield from _differences(before[name], step, child(pointer, index))
        else:
            yield Difference("added", child(pointer, index), after=step)
    kept, now = [name for name in before if name in after], [name for name in after if name in before]
    if kept != now:
        yield Difference("moved", pointer, kept, now)


def _by_name(value: Any) -> dict[str, Any] | None:
    """The items of a list that all have a name of their own; None for any other value."""
    if not isinstance(value, list) or not all(isinstance(item, dict) and "name" in item for item in value):
        return None
    named = {str(item["name"]): item for item in value}
    return named if len(named) == len(value) else None


def _canonical(value: Any) -> str:
    # 1, 1.0 and true are equal to Python, but not to whoever reads the document.
    return json.dumps(value, sort_keys=True)
