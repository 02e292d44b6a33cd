"""How deep JSON data may be nested. Those who read facts give up at 200, so nobody may send what comes near it."""

from typing import Any

from contracts.failure import InvalidContract

MAX_NESTING = 100


def check_nesting(value: Any, what: str) -> None:
    """Raises InvalidContract if lists and objects are nested deeper than that. `what` begins the sentence."""
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [item for outer in level for item in _inner(outer)]
        if not level:
            return
    raise InvalidContract(f"{what} is nested more than {MAX_NESTING} deep")


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
