"""Documents as text: JSON, or the part of YAML that says the same.

YAML is read as YAML 1.2 has it, not as PyYAML does: `yes`, `1:30`, `08` and `2026-01-31` are texts. Aliases, by which a
few lines could become gigabytes, tags, and keys that are no texts or come twice are refused.
"""

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, Never

import yaml
from pydantic_core import from_json

from contracts.failure import InvalidContract

# libyaml where PyYAML was built with it: ten times as fast.
_PARSER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TAG = "tag:yaml.org,2002:"


class Form(StrEnum):
    """How a document is written."""

    JSON = "json"
    YAML = "yaml"

    @property
    def media_type(self) -> str:
        return f"application/{self.value}"

    @classmethod
    def of(cls, media_types: str) -> "Form":
        """The form that a Content-Type or Accept header speaks of; JSON unless it says YAML."""
        return cls.YAML if "yaml" in media_types.lower() else cls.JSON


class InvalidText(InvalidContract):
    """The text cannot be read."""

    code = "document.unreadable"


def read_all(text: bytes, form: Form) -> list[Any]:
    """The documents in a text: those of a YAML stream, or of one list. Raises InvalidText, saying where."""
    documents = _read(text, form)
    if len(documents) == 1 and isinstance(documents[0], list):
        documents = documents[0]
    if not documents:
        raise InvalidText("there is no document in it")
    return documents


def read_one(text: bytes, form: Form) -> Any:
    """The document in a text. Raises InvalidText."""
    found = _read(text, form)
    if len(found) != 1:
        raise InvalidText(f"expected one document, not {len(found)}")
    return found[0]


def write_one(document: Any, form: Form) -> str:
    """A document as text that is read as the same; of YAML as one document of a stream."""
    if form is Form.JSON:
        return json.dumps(document, indent=2, ensure_ascii=False)
    return str(
        yaml.dump(
            document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, explicit_start=True, width=110
        )
    )


def _read(text: bytes, form: Form) -> list[Any]:
    try:
        found = list(_documents(text)) if form is Form.YAML else [from_json(text, allow_inf_nan=False)]
        # What JSON cannot say (infinity, halves of characters) is refused, too.
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidText(f"this is no {form.name} we read: {error}") from error
    return found


def _documents(text: bytes) -> Iterator[Any]:
    events = yaml.parse(text, Loader=_PARSER)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            yield _value(next(events), events)


def _value(event: Any, events: Iterator[Any]) -> Any:
    if isinstance(event, yaml.AliasEvent):
        _refuse("aliases are not read", event)
    if event.tag is not None:
        _refuse("tags are not read", event)
    match event:
        case yaml.ScalarEvent():
            return _scalar(event.value) if event.implicit[0] else event.value
        case yaml.SequenceStartEvent():
            items = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(_value(item, events))
            return items
        case _:
            return _mapping(events)


def _mapping(events: Iterator[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        name = _value(key, events)
        if not isinstance(name, str) or name in fields:
            _refuse(f"a key must be a text and come once: {name!r:.60}", key)
        fields[name] = _value(next(events), events)
    return fields


_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"^[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")


def _scalar(text: str) -> Any:
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _refuse(problem: str, event: Any) -> Never:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Quotes what either YAML 1.1 or we would read as something else than a text; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern in (("int", _INT), ("float", _FLOAT)):
    _Dumper.add_implicit_resolver(_TAG + _kind, _pattern, list("-+.0123456789"))
