"""References in input mappings: `${input.x}` and `${steps.a.y}`, compiled once, no code execution.

A string that is one whole reference yields the value with its type; inside other text it yields
text. `$${` is a literal `${`. Only dotted names and `[n]` indexes exist.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from contracts.failure import InvalidContract

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_PATH = re.compile(r"^(input|steps)((?:\.[A-Za-z_][A-Za-z0-9_-]*|\[\d+\])+)$")
_PART = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]")

type Scope = Mapping[str, Any]
"""`{"input": {...}, "steps": {"a": {...}}}`"""


@dataclass(frozen=True, slots=True)
class Reference:
    """`${input.x.y}`: root `input`, path `("x", "y")`. `${steps.a.y}`: root `steps`, path `("a", "y")`."""

    root: Literal["input", "steps"]
    path: tuple[str | int, ...]

    @property
    def text(self) -> str:
        return self.root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)

    @property
    def step(self) -> str | None:
        return str(self.path[0]) if self.root == "steps" else None

    def resolve(self, scope: Scope) -> Any:
        """The value, or None where a step on the way was skipped or a field is null.

        Raises InvalidContract where a field on the way does not exist.
        """
        value: Any = scope[self.root]
        for position, part in enumerate(self.path):
            if value is None:
                return None
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError) as error:
                if self.root == "steps" and position == 0:
                    return None
                known = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
                raise InvalidContract(f"${{{self.text}}}: no {part!r} there, but: {known}") from error
        return value


def parse_reference(text: str) -> Reference:
    """The reference inside `${...}`. Raises InvalidContract with the expected form."""
    match = _PATH.match(text.strip())
    if not match:
        raise InvalidContract(
            f"${{{text}}} is no reference: expected ${{input.field}} or ${{steps.step.field}}"
        )
    path = tuple(int(index) if index else name for name, index in _PART.findall(match[2]))
    root: Literal["input", "steps"] = "input" if match[1] == "input" else "steps"
    if root == "steps" and (len(path) < 2 or isinstance(path[0], int)):
        raise InvalidContract(
            f"${{{text}}} must name a step and a field of its output: ${{steps.step.field}}"
        )
    return Reference(root, path)


type Resolver = Callable[[Scope], Any]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled input mapping: what it refers to, and how to fill it."""

    references: tuple[Reference, ...]
    resolve: Resolver


def compile_template(value: Any) -> Template:
    """Compile any JSON value with references inside its strings. Raises InvalidContract."""
    references: list[Reference] = []
    return Template(resolve=_compile(value, references), references=tuple(references))


_NAME = re.compile(r"(?<![\w.])(input|steps)((?:\.[A-Za-z_]\w*)*)")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")


def condition_references(expression: str) -> tuple[Reference, ...]:
    """What a condition over `input` and `steps` reads. Raises InvalidContract for other than dotted names.

    Dotted names only, so that the data a condition needs can be carried to it.
    """
    plain = _QUOTED.sub('""', expression)
    return tuple(parse_reference(match[1] + match[2]) for match in _NAME.finditer(plain))


def _compile(value: Any, found: list[Reference]) -> Resolver:
    if isinstance(value, str):
        return _compile_text(value, found)
    if isinstance(value, dict):
        fields = [(key, _compile(item, found)) for key, item in value.items()]
        return lambda scope: {key: resolve(scope) for key, resolve in fields}
    if isinstance(value, list | tuple):
        items = [_compile(item, found) for item in value]
        return lambda scope: [resolve(scope) for resolve in items]
    return lambda scope: value


def _compile_text(text: str, found: list[Reference]) -> Resolver:
    parts = list(_split(text))
    references = [part for part in parts if isinstance(part, Reference)]
    found.extend(references)
    if not references:
        literal = "".join(str(part) for part in parts)
        return lambda scope: literal
    if len(parts) == 1:
        return references[0].resolve
    return lambda scope: "".join(
        _as_text(part, scope) if isinstance(part, Reference) else part for part in parts
    )


def _as_text(reference: Reference, scope: Scope) -> str:
    value = reference.resolve(scope)
    if value is None or isinstance(value, dict | list):
        raise InvalidContract(
            f"${{{reference.text}}} inside text must be a text, number or boolean, not {value!r:.40}"
        )
    return str(value)


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str | Reference, ...]:
    return tuple(_parts(text))


def _parts(text: str) -> Iterator[str | Reference]:
    end = 0
    for match in _REFERENCE.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        if match[0] == "$${":
            yield "${"
        elif match[1] is None:
            raise InvalidContract(f"{text!r}: '${{' without its '}}' (write '$${{' for a literal '${{')")
        else:
            yield parse_reference(match[1])
        end = match.end()
    if end < len(text):
        yield text[end:]
