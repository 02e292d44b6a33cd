"""The process that evaluates: reads calls, answers them, and has little memory. Started by `bounded`.

Calls and answers are JSON, each after its length in four bytes.
"""

import json
import resource
import sys
from typing import Any

from pydantic import TypeAdapter

from contracts.failure import InvalidContract
from contracts.integrations import ChooseBranch, Operation, Validate
from services.integrations.expressions import holds
from services.integrations.transforms import transform
from services.integrations.validations import validate

LENGTH_BYTES = 4
MAX_ANSWER_BYTES = 200_000
_DATA_BYTES = 512 * 1024 * 1024
_OPERATIONS: TypeAdapter[tuple[Operation, ...]] = TypeAdapter(tuple[Operation, ...])


def _choose(told: dict[str, Any]) -> str | None:
    command = ChooseBranch.model_validate(told)
    for branch in command.branches:
        if holds(branch.when, {"data": command.data}):
            return branch.name
    return command.otherwise


def _validate(told: dict[str, Any]) -> dict[str, Any]:
    command = Validate.model_validate(told)
    return validate(command.data, command.schema_, command.rules).model_dump(mode="json")


def _transform(told: dict[str, Any]) -> Any:
    return transform(told["data"], _OPERATIONS.validate_python(told["operations"]))


FUNCTIONS = {"choose": _choose, "validate": _validate, "transform": _transform}


def answer(call: dict[str, Any]) -> dict[str, Any]:
    """`{"result": ...}`, or `{"refused": reason}`."""
    try:
        result = {"result": FUNCTIONS[call["function"]](call["told"])}
        size = len(json.dumps(result, allow_nan=False))
    except (InvalidContract, ValueError, RecursionError) as error:
        return {"refused": str(error)[:2000]}
    except MemoryError:
        return {"exhausted": "memory"}
    if size > MAX_ANSWER_BYTES:
        return {"refused": f"the result has {size} bytes, expected at most {MAX_ANSWER_BYTES}"}
    return result


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_DATA_BYTES, _DATA_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    read, write = sys.stdin.buffer, sys.stdout.buffer
    while length := read.read(LENGTH_BYTES):
        given = json.dumps(answer(json.loads(read.read(int.from_bytes(length))))).encode()
        write.write(len(given).to_bytes(LENGTH_BYTES) + given)
        write.flush()


if __name__ == "__main__":
    main()
