"""Data against a JSON Schema and rules: every error, with its pointer. Runs in the bounded process."""

from typing import Any

from contracts.failure import InvalidContract
from contracts.integrations import Check, DataError, Validated
from saga.json_schemas import schema_errors
from services.integrations.expressions import holds

MAX_ERRORS = 100


def validate(data: Any, schema: dict[str, Any] | None, rules: tuple[Check, ...]) -> Validated:
    """What is wrong with the data. Raises InvalidContract if the schema or a rule is wrong itself."""
    errors = [*_by_schema(data, schema), *_by_rules(data, rules)]
    return Validated(valid=not errors, errors=tuple(errors[:MAX_ERRORS]), total=len(errors))


def _by_schema(data: Any, schema: dict[str, Any] | None) -> list[DataError]:
    if schema is None:
        return []
    return [
        DataError(pointer=error.pointer, code=error.code, message=error.message)
        for error in schema_errors(data, schema)
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
