"""JSON pointers (RFC 6901): where something is wrong, and how to find a value."""

from dataclasses import dataclass
from typing import Any

from contracts.failure import InvalidContract


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and a JSON pointer to where."""

    pointer: str
    detail: str

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


def child(pointer: str, part: str | int) -> str:
    """The pointer to a field or item of what `pointer` points to."""
    return f"{pointer}/{str(part).replace('~', '~0').replace('/', '~1')}"


def parts_of(pointer: str) -> list[str]:
    """The names of the fields and items on the way."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def find(value: Any, pointer: str) -> Any:
    """What the pointer points to. Raises InvalidContract where there is nothing, naming what is there."""
    if pointer and not pointer.startswith("/"):
        raise InvalidContract(f"{pointer!r} is no JSON pointer: expected /field/0/field")
    for name in parts_of(pointer):
        try:
            value = value[_index(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            known = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
            raise InvalidContract(f"{pointer}: no {name!r} there, but: {known:.500}") from error
    return value


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("an item of a list is named by its number")
    return int(text)


def place(value: Any, location: tuple[int | str, ...], *, keep_last: bool = False) -> str:
    """The pointer of a validation error, without what its location names beside fields (members of unions).

    `keep_last`: the last part is a field that is missing.
    """
    pointer = ""
    for position, part in enumerate(location):
        if part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int):
            pointer, value = child(pointer, part), value[part]
        elif keep_last and position == len(location) - 1:
            pointer = child(pointer, part)
    return pointer
