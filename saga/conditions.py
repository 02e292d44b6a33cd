"""Conditions: CEL over `input` and `steps` for steps, over `event` for triggers; and expressions over data.

No user code, bounded by the engine, compiled once.
CEL does not mix integers and decimals in arithmetic (write `double(x) * 1.5`); comparing them works.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from contracts.failure import InvalidContract
from contracts.references import Scope

type Condition = Callable[[Scope], bool]

OF_STEPS: Final = ("input", "steps")
OF_TRIGGERS: Final = ("event",)


@lru_cache(maxsize=8)
def _environment(names: tuple[str, ...]) -> Any:
    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables=dict.fromkeys(names, anything))


@lru_cache(maxsize=4096)
def compile_condition(expression: str, names: tuple[str, ...] = OF_STEPS) -> Condition:
    """The compiled condition over these names. Raises InvalidContract with the engine's reason if it is no CEL."""
    try:
        program = _environment(names).compile(expression)
    except Exception as error:
        raise InvalidContract(f"condition {expression!r}: {error}") from error

    def holds(scope: Scope) -> bool:
        result = program.eval(data={name: scope[name] for name in names})
        if result.type() != cel.Type.BOOL:
            raise InvalidContract(
                f"condition {expression!r} must give true or false, not {result.value()!r:.200}"
            )
        return bool(result.value())

    return holds


@lru_cache(maxsize=1)
def _of_data() -> Any:
    return cel.NewEnv(variables={"data": cel.Type.DYN, "item": cel.Type.DYN})


@lru_cache(maxsize=4096)
def check_expression(expression: str) -> None:
    """Raises InvalidContract with the engine's reason if it is no CEL over `data` and `item`."""
    try:
        _of_data().compile(expression)
    except Exception as error:
        raise InvalidContract(f"expression {expression!r:.200}: {error}") from error


def holds(expression: str, scope: Scope) -> bool:
    """Whether the condition holds. Raises InvalidContract if it gives an error or no boolean, never False."""
    return compile_condition(expression)(scope)
