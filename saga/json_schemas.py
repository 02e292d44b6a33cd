"""Data against a JSON Schema: every error, with its pointer. Nothing is fetched, patterns take linear time."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs

from contracts.failure import InvalidContract
from contracts.pointers import child

_PATTERN_SIZE = 1_000_000
_MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class SchemaError:
    """A JSON pointer into the data, the keyword that is broken, and what is wrong."""

    pointer: str
    code: str
    message: str


def schema_errors(data: Any, schema: dict[str, Any]) -> list[SchemaError]:
    """What is wrong with the data. Raises InvalidContract if the schema is wrong itself."""
    return [
        SchemaError(_pointer(error.instance_path), str(error.kind.name), error.message[:_MAX_MESSAGE])
        for error in _validator(json.dumps(schema, sort_keys=True)).iter_errors(data)
    ]


def check_schema(schema: dict[str, Any]) -> None:
    """Raises InvalidContract, with the reason, if it is no JSON Schema or one that leads out of itself."""
    _validator(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    schema = json.loads(text)
    if remote := _remote(schema):
        raise InvalidContract(f"schema: $ref {remote!r:.100} leads out of it, expected #/...")
    try:
        return jsonschema_rs.validator_for(
            schema,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_SIZE),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise InvalidContract(f"schema: {str(error).partition('\n')[0][:300]}") from error


def _remote(schema: Any) -> str | None:
    """A reference that leads out of the schema."""
    left = [schema]
    while left:
        match left.pop():
            case dict() as fields:
                for keyword in ("$ref", "$dynamicRef"):
                    target = fields.get(keyword)
                    if isinstance(target, str) and not target.startswith("#"):
                        return target
                left.extend(fields.values())
            case list() as items:
                left.extend(items)
    return None


def _pointer(path: list[str | int]) -> str:
    pointer = ""
    for part in path:
        pointer = child(pointer, part)
    return pointer
