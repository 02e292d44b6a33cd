"""References in input mappings: `${input.x}`, `${steps.a.y}`, `{{x}}`, compiled once, no code execution.

    ${input.customer.name}      a field of the saga's input         ${item}, ${item.x}   where items are gone through
    ${steps.rate.value}         a field of an earlier step's output ${input.tags[0]}     one of a list
    ${input.note:-none}         `none` where the field is missing or null
    {{customer.name}}           short for ${input.customer.name}; {{steps.rate.value}} is ${steps.rate.value}

A string that is one whole reference yields the value with its type; inside other text it yields text. A
default is a JSON value if it reads as one (`:-3`, `:-false`, `:-"3"`, `:-[]`), otherwise text; it holds no
braces. `$${` is a literal `${`, `\\{{` a literal `{{`. What a reference yields is never read for references
again. A template that is too deep, too long or yields too much is refused.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, cast

from pydantic_core import from_json

from contracts.failure import InvalidContract
from contracts.pointers import Problem, child

MAX_DEPTH: Final = 32
MAX_TEXT: Final = 65_536
MAX_REFERENCES: Final = 1_000
MAX_OUTPUT: Final = 1_048_576
"""Characters of all text and names a template may yield."""
_UNCOUNTED_REFERENCES = 16
"""So many values, each no larger than a fact, cannot amount to much; counting them would cost every step."""

type Root = Literal["input", "steps", "item", "output", "event"]
STEP_ROOTS: Final = frozenset[Root]({"input", "steps"})
ITEM_ROOTS: Final = frozenset[Root]({"input", "steps", "item"})
EVENT_ROOTS: Final = frozenset[Root]({"event"})

_TOKENS = re.compile(r"\$\$\{|\\\{\{|\$\{([^{}]*)\}|\{\{([^{}]*)\}\}|\$\{|\{\{")
_PATH = re.compile(r"^(input|steps|item|output|event)((?:\.[A-Za-z_][A-Za-z0-9_-]*|\[\d{1,9}\])*)$")
_PART = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]")

type Scope = Mapping[str, Any]
"""`{"input": {...}, "steps": {"a": {...}}}`, and `item` or `output` where the template may refer to it"""

type Resolver = Callable[[Scope], Any]


class InvalidTemplate(InvalidContract):
    """A template with mistakes: `problems` has all of them, each with its JSON pointer into the template."""

    code = "template.invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class _Missing:
    """There is no default: None is one."""


_NO_DEFAULT: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Reference:
    """`${input.x.y}`: root `input`, path `("x", "y")`. `${steps.a.y}`: root `steps`, path `("a", "y")`."""

    root: Root
    path: tuple[str | int, ...]
    default: Any = field(default=_NO_DEFAULT, hash=False)

    @property
    def text(self) -> str:
        return self.root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)

    @property
    def step(self) -> str | None:
        return str(self.path[0]) if self.root == "steps" else None

    @property
    def optional(self) -> bool:
        """Whether it has a default for when there is no value."""
        return self.default is not _NO_DEFAULT

    def resolve(self, scope: Scope) -> Any:
        """The value; its default, or None, where a step on the way was skipped or a field is null.

        Raises InvalidContract where a field on the way does not exist and there is no default.
        """
        value: Any = scope[self.root]
        for position, part in enumerate(self.path):
            if value is None:
                break
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError) as error:
                if self.optional:
                    return self.default
                if self.root == "steps" and position == 0:
                    return None
                known = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
                raise InvalidContract(f"${{{self.text}}}: no {part!r} there, but: {known:.500}") from error
        return self.default if value is None and self.optional else value


@dataclass(frozen=True, slots=True)
class Use:
    """A reference and where it stands: a JSON pointer into the template."""

    pointer: str
    reference: Reference
    whole: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled input mapping: what it refers to and where, and how to fill it.

    `resolve` raises InvalidContract: a field is missing, a value does not fit into text, too much is yielded.
    """

    uses: tuple[Use, ...]
    resolve: Resolver

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(use.reference for use in self.uses)


def parse_reference(text: str, roots: Collection[Root] = STEP_ROOTS) -> Reference:
    """The reference inside `${...}`. Raises InvalidContract with the expected form."""
    written, has_default, default = text.partition(":-")
    match = _PATH.match(written.strip())
    if not match or match[1] not in roots or (not match[2] and match[1] in STEP_ROOTS):
        raise InvalidContract(f"${{{text}}} is no reference: expected {_expected(roots)}")
    path = tuple(int(index) if index else name for name, index in _PART.findall(match[2]))
    root = cast(Root, match[1])
    if root == "steps" and (len(path) < 2 or isinstance(path[0], int)):
        raise InvalidContract(
            f"${{{text}}} must name a step and a field of its output: ${{steps.step.field}}"
        )
    if len(path) > MAX_DEPTH:
        raise InvalidContract(f"${{{written:.60}...}} goes {len(path)} deep, expected at most {MAX_DEPTH}")
    return Reference(root, path, _default(default)) if has_default else Reference(root, path)


def compile_template(value: Any, roots: Collection[Root] = STEP_ROOTS) -> Template:
    """Compile any JSON value with references to these roots inside its strings.

    Raises InvalidTemplate with every mistake in it.
    """
    compiling = _Compiling(frozenset(roots))
    resolve = compiling.value(value, "", 0)
    if len(compiling.uses) > MAX_REFERENCES:
        compiling.refuse("", f"{len(compiling.uses)} references, expected at most {MAX_REFERENCES}")
    if compiling.problems:
        raise InvalidTemplate(tuple(compiling.problems))
    if len(compiling.uses) > _UNCOUNTED_REFERENCES:
        resolve = _counted(resolve)
    return Template(resolve=resolve, uses=tuple(compiling.uses))


def rewrite(value: Any, change: Callable[[Reference], Reference]) -> Any:
    """The value with every reference in its strings changed. What is no reference stays for the compiler to refuse."""
    if isinstance(value, dict):
        return {key: rewrite(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rewrite(item, change) for item in value]
    if not isinstance(value, str):
        return value
    return _TOKENS.sub(lambda match: _rewritten(match, change), value)


def _rewritten(match: re.Match[str], change: Callable[[Reference], Reference]) -> str:
    text = match[1] if match[1] is not None else match[2] and _long_form(match[2].strip(), ITEM_ROOTS)
    try:
        reference = parse_reference(text, ITEM_ROOTS) if text else None
    except InvalidContract:
        reference = None
    if reference is None or text is None:
        return match[0]
    _, mark, default = text.partition(":-")
    return f"${{{change(reference).text}{mark}{default}}}"


_NAME = re.compile(r"(?<![\w.])(input|steps)((?:\.[A-Za-z_]\w*)*)")
_NAME_OR_ITEM = re.compile(r"(?<![\w.])(input|steps|item)((?:\.[A-Za-z_]\w*)*)")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")


def condition_references(expression: str) -> tuple[Reference, ...]:
    """What a condition over `input` and `steps` reads. Raises InvalidContract for other than dotted names.

    Dotted names only, so that the data a condition needs can be carried to it.
    """
    plain = _QUOTED.sub('""', expression)
    return tuple(parse_reference(match[1] + match[2]) for match in _NAME.finditer(plain))


def rewrite_condition(expression: str, change: Callable[[Reference], Reference]) -> str:
    """The condition with every name in it changed; `item` is a name, too. Raises InvalidContract as above."""

    def changed(match: re.Match[str]) -> str:
        return change(parse_reference(match[1] + match[2], ITEM_ROOTS)).text

    parts, end = [], 0
    for quoted in _QUOTED.finditer(expression):
        parts += [_NAME_OR_ITEM.sub(changed, expression[end : quoted.start()]), quoted[0]]
        end = quoted.end()
    return "".join([*parts, _NAME_OR_ITEM.sub(changed, expression[end:])])


@dataclass(slots=True)
class _Compiling:
    roots: frozenset[Root]
    uses: list[Use] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, pointer: str, detail: str) -> None:
        self.problems.append(Problem(pointer, detail))

    def value(self, value: Any, at: str, depth: int) -> Resolver:
        if isinstance(value, str):
            return self._text(value, at)
        if not isinstance(value, dict | list | tuple):
            return lambda scope: value
        if depth >= MAX_DEPTH:
            self.refuse(at, f"nested more than {MAX_DEPTH} deep")
            return lambda scope: None
        if isinstance(value, dict):
            fields = [(key, self.value(item, child(at, key), depth + 1)) for key, item in value.items()]
            return lambda scope: {key: resolve(scope) for key, resolve in fields}
        items = [self.value(item, child(at, index), depth + 1) for index, item in enumerate(value)]
        return lambda scope: [resolve(scope) for resolve in items]

    def _text(self, text: str, at: str) -> Resolver:
        try:
            parts = _split(text, self.roots)
        except InvalidContract as error:
            self.refuse(at, str(error))
            return lambda scope: None
        references = [part for part in parts if isinstance(part, Reference)]
        self.uses += [Use(at, reference, len(parts) == 1) for reference in references]
        if not references:
            literal = "".join(str(part) for part in parts)
            return lambda scope: literal
        return references[0].resolve if len(parts) == 1 else _joined(parts)


def _joined(parts: tuple[str | Reference, ...]) -> Resolver:
    def resolve(scope: Scope) -> str:
        text = "".join([_as_text(part, scope) if isinstance(part, Reference) else part for part in parts])
        if len(text) > MAX_OUTPUT:
            raise InvalidContract(f"a text of {len(text)} characters: expected at most {MAX_OUTPUT}")
        return text

    return resolve


def _as_text(reference: Reference, scope: Scope) -> str:
    value = reference.resolve(scope)
    if value is None or isinstance(value, dict | list):
        raise InvalidContract(
            f"${{{reference.text}}} inside text must be a text, number or boolean, not {value!r:.40}"
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _counted(resolve: Resolver) -> Resolver:
    def resolve_and_count(scope: Scope) -> Any:
        value = resolve(scope)
        if _size(value) > MAX_OUTPUT:
            raise InvalidContract(f"the input yields more than {MAX_OUTPUT} characters: refer to less")
        return value

    return resolve_and_count


def _size(value: Any) -> int:
    """About how many characters the value's JSON has; stops to count soon after the limit."""
    size, left = 0, [value]
    while left and size <= MAX_OUTPUT:
        match left.pop():
            case str() as text:
                size += len(text)
            case dict() as fields:
                size += sum(map(len, fields))
                left.extend(fields.values())
            case list() as items:
                left.extend(items)
        size += 2
    return size


@lru_cache(maxsize=4096)
def _split(text: str, roots: frozenset[Root]) -> tuple[str | Reference, ...]:
    if len(text) > MAX_TEXT:
        raise InvalidContract(f"a text of {len(text)} characters: expected at most {MAX_TEXT}")
    return tuple(_parts(text, roots))


def _parts(text: str, roots: frozenset[Root]) -> Iterator[str | Reference]:
    end = 0
    for match in _TOKENS.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        match match[0], match[1], match[2]:
            case ("$${" | r"\{{") as escaped, _, _:
                yield escaped[1:]
            case _, str() as path, _:
                yield parse_reference(path, roots)
            case _, _, str() as path:
                yield parse_reference(_long_form(path.strip(), roots), roots)
            case "${", _, _:
                raise InvalidContract(
                    f"{text!r:.200}: '${{' without its '}}' (write '$${{' for a literal '${{')"
                )
            case _:
                raise InvalidContract(
                    f"{text!r:.200}: '{{{{' without its '}}}}' (write '\\{{{{' for a literal '{{{{')"
                )
        end = match.end()
    if end < len(text):
        yield text[end:]


def _long_form(path: str, roots: frozenset[Root]) -> str:
    if roots == EVENT_ROOTS:
        return path if re.match(r"event(?![\w-])", path) else f"event.data.{path}"
    return path if re.match(r"(input|steps|item|output)(?![\w-])", path) else f"input.{path}"


def _expected(roots: Collection[Root]) -> str:
    forms = {
        "input": "${input.field}",
        "steps": "${steps.step.field}",
        "item": "${item} or ${item.field}",
        "output": "${output.field}",
        "event": "${event.data.field}",
    }
    return " or ".join(form for root, form in forms.items() if root in roots)


def _default(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return text
