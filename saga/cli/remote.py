"""The API as the command line uses it, by the client's transport. Problems become exit codes."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contracts.failure import InvalidContract, NotFound
from saga.remote.transport import Transport, route
from saga.workflows.text import Form, InvalidText, read_all, read_one

_OVER = {"completed", "compensated", "failed", "waiting"}


class Remote:
    """An HTTP session with the saga log."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._transport = Transport(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._runner as runner:
            runner.run(self._transport.close())

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """Raises NotFound, Conflict, InvalidContract or Unusable, with the problem's own words.

        `accept`: statuses whose answer is none the less what was asked for.
        """
        return self._ask("GET", path, query=query, accept=accept)

    def all(self, path: str, query: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The items of all pages. Raises as `get`."""
        wanted = {name: value for name, value in (query or {}).items() if value != ""}

        async def found() -> list[dict[str, Any]]:
            return [item async for item in self._transport.items(path, wanted)]

        return self._run(found())

    def value(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """What is answered, an object or not. Raises as `get`."""
        return self._run(self._transport.ask("GET", path, query=query)).body

    def post(
        self,
        path: str,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As `get`."""
        return self._ask("POST", path, body=body, headers=headers, query=query)

    def put(
        self,
        path: str,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As `get`."""
        return self._ask("PUT", path, body=body, headers=headers, query=query)

    def delete(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """As `get`; empty if there is nothing to answer."""
        return self._ask("DELETE", path, query=query, headers=headers)

    def wait(self, saga_id: str, timeout_s: float) -> dict[str, Any]:
        """The saga when it has ended, or waits for a person. Raises WaitTimeout."""

        def over(execution: dict[str, Any]) -> bool:
            return execution["state"] in _OVER

        self._run(self._transport.until(saga_id, over, timeout_s))
        return self.get(route("sagas", saga_id))

    def _ask(self, method: str, path: str, **told: Any) -> dict[str, Any]:
        return dict(self._run(self._transport.ask(method, path, **told)).body or {})

    def _run[Found](self, asking: Coroutine[Any, Any, Found]) -> Found:
        return self._runner.run(asking)


def read_value(source: str) -> Any:
    """What JSON text, `@file` or `-` holds. Raises InvalidContract."""
    text = _text(source[1:]) if source.startswith("@") else sys.stdin.read() if source == "-" else source
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidContract(f"the input is no JSON: {error}") from error


def read_json(source: str) -> dict[str, Any]:
    """An object from JSON text, `@file` or `-`. Raises InvalidContract."""
    value = read_value(source)
    if not isinstance(value, dict):
        raise InvalidContract("the input must be a JSON object")
    return value


def read_document(source: str) -> dict[str, Any]:
    """An object from a JSON or YAML file, or `-`, as the API would read it. Raises InvalidContract."""
    found = _read(read_one, source)
    if not isinstance(found, dict):
        raise InvalidContract(f"{source} must hold one object")
    return found


def read_workflows(source: str) -> list[Any]:
    """The documents in a file of JSON or YAML, or `-`, as the API would read them. Raises InvalidContract."""
    return _read(read_all, source)


def _read[Found](read: Callable[[bytes, Form], Found], source: str) -> Found:
    text = _source(source).encode()
    try:
        return read(text, Form.JSON)
    except InvalidText:
        # Nobody says which of both it is; JSON may hold what YAML would take for something else.
        try:
            return read(text, Form.YAML)
        except InvalidText as error:
            reason = " ".join(str(error).split())
            raise InvalidText(f"{source} is no JSON, and {reason}") from error


def _source(name: str) -> str:
    return sys.stdin.read() if name == "-" else _text(name)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from error
