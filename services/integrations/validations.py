"""Data against a JSON Schema and rules: every error, with its pointer. Runs in the bounded process."""

from typing import Any

import jsonschema_rs

from contracts.failure import InvalidContract
from contracts.integrations import Check, DataError, Validated
from contracts.pointers import child
from services.integrations.expressions import holds

MAX_ERRORS = 100


def validate(data: Any, schema: dict[str, Any] | None, rules: tuple[Check, ...]) -> Validated:
    """What is wrong with the data. Raises InvalidContract if the schema or a rule is wrong itself."""
    errors = [*_by_schema(data, schema), *_by_rules(data, rules)]
    return Validated(valid=not errors, errors=tuple(errors[:MAX_ERRORS]), total=len(errors))


def _by_schema(data: Any, schema: dict[str, Any] | None) -> list[DataError]:
    if schema is None:
        return []
    if remote := _remote(schema):
        raise InvalidContract(f"schema: $ref {remote!r:.100} leads out of it, expected #/...")
    try:
        # Whatever a schema refers to is in it: nothing is fetched.
        validator = jsonschema_rs.validator_for(
            schema, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000)
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise InvalidContract(f"schema: {_first_line(error)}") from error
    return [
        DataError(
            pointer=_pointer(error.instance_path),
            code=str(error.kind.name),
            message=error.message[:500],
        )
        for error in validator.iter_errors(data)
    ]


def _by_rules(data: Any, rules: tuple[Check, ...]) -> list[DataError]:
    errors = []
    for rule in rules:
        try:
            fine = holds(rule.holds, {"data": data})
        except InvalidContract as error:
            # A rule that cannot be judged (a field is missing) is not kept; the others still are judged.
            errors.append(
                DataError(pointer=rule.pointer, code=rule.name, message=f"{rule.message} ({error})")
            )
            continue
        if not fine:
            errors.append(DataError(pointer=rule.pointer, code=rule.name, message=rule.message))
    return errors


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


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
