"""Whether what one JSON Schema describes can be taken where another is expected. Only what is certain is said.

Values are taken as pydantic takes JSON: a number may come as text, an instant as a number, nothing else is converted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

type Schema = dict[str, Any] | bool

_MAX_DEPTH = 8
_NUMBERS = frozenset({"integer", "number"})
_ALSO_TAKEN = {
    "integer": {"number", "string", "boolean"},
    "number": {"integer", "string", "boolean"},
    "boolean": {"string", *_NUMBERS},
}
_TIMES = ("date", "date-time", "time", "duration")
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object"), (list, "array"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema, and the document in which its `$ref`s are looked up. `True` is anything."""

    schema: Schema
    root: dict[str, Any]

    def at(self, path: Iterable[str | int]) -> "Shape":
        """What is at a place inside it; anything, where that cannot be told."""
        found = self
        for part in path:
            found = found._inner(part)
        return found

    def kinds(self) -> frozenset[str] | None:
        """The JSON types that a value may have; None for any."""
        schema = self._plain().schema
        if isinstance(schema, bool):
            return None
        if options := schema.get("anyOf") or schema.get("oneOf"):
            several = [Shape(option, self.root).kinds() for option in options]
            known = [kinds for kinds in several if kinds is not None]
            return frozenset().union(*known) if len(known) == len(several) else None
        if (values := self.listed()) is not None:
            return frozenset(kind_of(value) for value in values)
        kind = schema.get("type")
        return frozenset([kind] if isinstance(kind, str) else kind) if kind else None

    def lacks(self, path: Sequence[str | int]) -> str:
        """Why a value can have nothing at a place inside it; empty if it can."""
        schema = self._plain().schema
        if not path or not isinstance(schema, dict):
            return ""
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if choices:
            there = [choice for choice in choices if choice != {"type": "null"}]
            reasons = [Shape(choice, self.root).lacks(path) for choice in there]
            return "" if "" in reasons else "; ".join(dict.fromkeys(reasons))
        kind, part = schema.get("type"), path[0]
        if not isinstance(kind, str):
            return ""
        if isinstance(part, int):
            items = Shape(schema.get("items", True), self.root)
            return items.lacks(path[1:]) if kind == "array" else f"no list at [{part}]"
        if kind != "object":
            return f"no field {part!r} in a value of type {kind}"
        fields = schema.get("properties")
        if fields is not None and part in fields:
            return Shape(fields[part], self.root).lacks(path[1:])
        # A model writes its fields and no others, unless it says that it does.
        others: Schema = schema.get("additionalProperties", fields is None)
        if others is False:
            return f"no field {part!r}, but: {', '.join(fields or ())}"
        return Shape(others, self.root).lacks(path[1:])

    def listed(self) -> list[Any] | None:
        """The only values there are, if they are listed."""
        schema = self._plain().schema
        if isinstance(schema, bool):
            return None
        values: list[Any] | None = schema.get("enum", [schema["const"]] if "const" in schema else None)
        return values

    def _plain(self) -> "Shape":
        """Without `$ref`s, and without the null that a value may be instead."""
        schema = self.schema
        for _ in range(_MAX_DEPTH):
            if isinstance(schema, bool):
                break
            if "$ref" in schema:
                name = str(schema["$ref"]).removeprefix("#/$defs/")
                schema = self.root.get("$defs", {}).get(name, True)
            elif isinstance(options := schema.get("allOf"), list) and len(options) == 1:
                schema = options[0]
            else:
                break
        return Shape(schema, self.root)

    def _inner(self, part: str | int) -> "Shape":
        schema = self._present().schema
        inner: Schema = True
        if isinstance(schema, dict) and schema.get("type") == "array" and "prefixItems" not in schema:
            inner = schema.get("items", True)
        elif isinstance(schema, dict) and schema.get("type") == "object":
            inner = schema.get("properties", {}).get(str(part), schema.get("additionalProperties", True))
        return Shape(inner, self.root)

    def _present(self) -> "Shape":
        """The only thing it can be besides null; anything, if there are several."""
        plain = self._plain()
        options = plain.schema.get("anyOf") if isinstance(plain.schema, dict) else None
        if not options:
            return plain
        there = [option for option in options if option != {"type": "null"}]
        return Shape(there[0], self.root)._plain() if len(there) == 1 else Shape(True, self.root)


def kind_of(value: Any) -> str:
    """The JSON type of a value."""
    return next((kind for of, kind in _KINDS if isinstance(value, of)), "null")


def misfit(given: Shape, taken: Shape, depth: int = 0) -> str:
    """Why no value of `given` can be taken as `taken`; empty if one may be."""
    comes, wanted = given.kinds(), taken.kinds()
    if comes is None or wanted is None or depth > _MAX_DEPTH:
        return ""
    if not comes & _accepted(taken, wanted):
        return f"{_words(comes)}, where {_words(wanted)} is expected"
    there = comes - {"null"}
    if there == {"array"} and "array" in wanted:
        why = misfit(given.at([0]), taken.at([0]), depth + 1) if wanted - {"null"} == {"array"} else ""
        return f"in the list: {why}" if why else ""
    return _fields(given, taken, depth) if there == {"object"} == wanted - {"null"} else ""


def _accepted(taken: Shape, wanted: frozenset[str]) -> frozenset[str]:
    accepted = wanted.union(*(_ALSO_TAKEN.get(kind, set()) for kind in wanted))
    return accepted | _NUMBERS if "string" in wanted and _is_time(taken) else accepted


def _is_time(taken: Shape) -> bool:
    schema = taken._present().schema
    # Of several things it can be, one may be a time.
    return isinstance(schema, bool) or schema.get("format") in _TIMES


def _fields(given: Shape, taken: Shape, depth: int) -> str:
    comes, wanted = given._present().schema, taken._present().schema
    if isinstance(comes, bool) or isinstance(wanted, bool) or "properties" not in comes:
        return ""
    known, places = comes["properties"], wanted.get("properties", {})
    # A model writes its fields and no others, unless it says that it does.
    if not comes.get("additionalProperties", False):
        missing = [name for name in wanted.get("required", ()) if name not in known]
        if missing:
            return f"no field {missing[0]!r}, which is required"
    if wanted.get("additionalProperties", True) is False:
        odd = [name for name in comes.get("required", ()) if name not in places]
        if odd:
            return f"a field {odd[0]!r}, which is not taken"
    for name in known.keys() & places.keys():
        if why := misfit(given.at([name]), taken.at([name]), depth + 1):
            return f"{name}: {why}"
    return ""


def _words(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
