"""CEL over `data` and `item`, and condition trees as CEL. Runs in the bounded process only.

The engine gives up after 10,000 iterations and 32 levels; its regular expressions take linear time.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from contracts.failure import InvalidContract
from contracts.integrations import AllOf, AnyOf, Comparison, Condition, Not

MAX_TREE_DEPTH = 8
_OPERATORS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_METHODS = {
    "contains": "contains",
    "starts_with": "startsWith",
    "ends_with": "endsWith",
    "matches": "matches",
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip


@lru_cache(maxsize=1)
def _environment() -> Any:
    return cel.NewEnv(variables={"data": cel.Type.DYN, "item": cel.Type.DYN})


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    try:
        return _environment().compile(expression)
    except Exception as error:
        raise InvalidContract(f"expression {expression!r:.200}: {error}") from error


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """The JSON value that the expression yields. Raises InvalidContract with the engine's reason."""
    program = _compiled(expression)
    try:
        result = program.eval(data={"data": None, "item": None, **variables})
        failed = result.type() == cel.Type.ERROR
        value = result.value() if failed else result.plain_value()
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidContract(f"expression {expression!r:.200}: {error}") from error
    if failed:
        raise InvalidContract(f"expression {expression!r:.200}: {value}")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidContract(f"expression {expression!r:.200} yields no JSON value: {error}") from error
    return value


def holds(condition: Condition, variables: Mapping[str, Any]) -> bool:
    """Whether it holds. Raises InvalidContract if it is neither true nor false."""
    expression = to_cel(condition)
    value = evaluate(expression, variables)
    if not isinstance(value, bool):
        raise InvalidContract(f"condition {expression!r:.200} must give true or false, not {value!r:.100}")
    return value


def to_cel(condition: Condition, root: str = "data", depth: int = 0) -> str:
    """A condition tree as one CEL expression over `root`; an expression is one already.

    With `root="input"` or `root="steps.<name>"` it can stand in a step's `when`. Raises InvalidContract.
    """
    if depth > MAX_TREE_DEPTH:
        raise InvalidContract(f"a condition is nested more than {MAX_TREE_DEPTH} deep")
    match condition:
        case str():
            return f"({condition})" if depth else condition
        case AllOf():
            return "(" + " && ".join(to_cel(part, root, depth + 1) for part in condition.all) + ")"
        case AnyOf():
            return "(" + " || ".join(to_cel(part, root, depth + 1) for part in condition.any) + ")"
        case Not():
            return f"!{to_cel(condition.not_, root, depth + 1)}"
        case Comparison():
            return _comparison(condition, root)


def _comparison(condition: Comparison, root: str) -> str:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in condition.field.split("/")[1:]]
    holder = root + "".join(map(_selected, parts[:-1]))
    field = holder + "".join(map(_selected, parts[-1:]))
    value = _literal(condition.value)
    match condition.is_:
        case "exists" | "missing":
            if not parts:
                raise InvalidContract(f"{condition.is_!r} needs a field")
            there = f"has({field})" if _plain(parts[-1]) else f"({_literal(parts[-1])} in {holder})"
            return there if condition.is_ == "exists" else f"!{there}"
        case "in":
            return f"({field} in {value})"
        case "contains" if isinstance(condition.value, str):
            return f"(type({field}) == list ? {value} in {field} : {field}.contains({value}))"
        case "contains":
            return f"({value} in {field})"
        case "starts_with" | "ends_with" | "matches" as method:
            return f"{field}.{_METHODS[method]}({value})"
        case operator:
            return f"({field} {_OPERATORS[operator]} {value})"


def _selected(part: str) -> str:
    """A field with a dot where its name allows it: what a step's condition reads is found by its dots."""
    return f".{part}" if _plain(part) else f"[{_literal(part)}]"


def _plain(part: str) -> bool:
    return _IDENTIFIER.match(part) is not None and part not in _RESERVED


def _literal(value: Any) -> str:
    """A JSON value as CEL: the same but for texts, where CEL knows no surrogate pairs."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case str():
            return '"' + "".join(_escaped(letter) for letter in value) + '"'
        case _:
            return json.dumps(value, allow_nan=False)


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
