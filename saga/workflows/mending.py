"""A document that is no workflow, without what cannot be read in it: so that the rest can be judged, too.

What is mended is never kept. It tells nothing that is not so: where that is in doubt, it is given up.
"""

import copy
from typing import Any

from contracts.checks import InvalidDefinition
from contracts.workflows import Workflow, parse_workflow

_ROUNDS = 3
"""What is still wrong after so many is in the names or the order of steps."""
_NAMELESS = "unnamed"
_ANYTHING = {"type": "ACTION", "action": "unreadable.step"}
"""An action of no domain of ours, of whose input and output nothing is known"""
_TELLING = {"name", "type", "after", "input", "action", "definition", "items", "do", "branches", "output"}
"""A step without one of these would be another step."""


class _InDoubt(Exception):
    """What is left would be judged wrongly."""


def mended(document: Any) -> Workflow | None:
    """The workflow, without fields and steps that cannot be read; None if too little could be said of it."""
    left = copy.deepcopy(document)
    try:
        for _ in range(_ROUNDS):
            try:
                return parse_workflow(left)
            except InvalidDefinition as error:
                for problem in error.problems:
                    _leave_out(left, problem["pointer"].split("/")[1:])
    except _InDoubt:
        return None
    return None


def _leave_out(document: Any, parts: list[str]) -> None:
    steps, place, rest = _innermost(document, parts)
    if steps is None:
        _leave_out_field(document, rest)
        return
    step = steps[place]
    if rest and isinstance(step, dict) and rest[0] in step and rest[0] not in _TELLING:
        del step[rest[0]]
    else:
        steps[place] = _stand_in(step, place)


def _leave_out_field(document: Any, parts: list[str]) -> None:
    if not isinstance(document, dict) or not parts or parts[0] == "steps":
        raise _InDoubt
    document.pop(parts[0], None)
    if parts[0] == "name":
        document["name"] = _NAMELESS


def _innermost(document: Any, parts: list[str]) -> tuple[list[Any] | None, int, list[str]]:
    """The list and place of the innermost step that a pointer leads into, and the way on from there."""
    found: tuple[list[Any] | None, int, list[str]] = (None, 0, parts)
    value = document
    for index, part in enumerate(parts):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            if parts[index - 1] == "steps":
                found = (value, int(part), parts[index + 1 :])
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            break
    return found


def _stand_in(step: Any, place: int) -> dict[str, Any]:
    """A step of which only name and order are known. Raises _InDoubt if the order is not."""
    fields = step if isinstance(step, dict) else {}
    after = fields.get("after", [])
    if not isinstance(after, list):
        raise _InDoubt
    return _ANYTHING | {"name": fields.get("name", f"{_NAMELESS}_{place}"), "after": after}
