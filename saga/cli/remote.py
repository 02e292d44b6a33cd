"""The saga log's API, as the command line uses it. Problems become exit codes."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx2

from contracts.failure import Conflict, InvalidContract, NotFound, SagaError, Stale, Unusable

_ENDED = {"completed", "compensated", "failed", "waiting"}
_LONG_POLL_S = 10.0


class WaitTimeout(SagaError):
    """The saga has not ended in time; it goes on."""

    code = "wait.timeout"
    exit_code = 7


class Remote:
    """An HTTP session with the saga log."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx2.Client(base_url=url, timeout=_LONG_POLL_S + 20, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """Raises NotFound, Conflict, InvalidContract or Unusable, with the problem's own words.

        `accept`: statuses whose answer is none the less what was asked for.
        """
        return self._ask("GET", path, accept, params=dict(query or {}))

    def all(self, path: str, query: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The items of all pages. Raises as `get`."""
        wanted = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(path, wanted | ({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
        return items

    def post(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """As `get`."""
        return self._ask("POST", path, json=body, headers=dict(headers or {}))

    def put(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """As `get`."""
        return self._ask("PUT", path, json=body, headers=dict(headers or {}))

    def delete(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """As `get`; empty if there is nothing to answer."""
        return self._ask("DELETE", path, params=dict(query), headers=dict(headers or {}))

    def wait(self, saga_id: str, timeout_s: float) -> dict[str, Any]:
        """The saga when it has ended, or waits for a person. Raises WaitTimeout."""
        until = monotonic() + timeout_s
        sequence = 0
        while (left := until - monotonic()) > 0:
            query = {"after_sequence": sequence, "wait_s": min(left, _LONG_POLL_S)}
            try:
                saga = self.get(f"/api/v1/sagas/{saga_id}", query)
            except NotFound:
                # The log has not heard of the start within the long poll: it is behind.
                continue
            if saga["status"] in _ENDED:
                return saga
            sequence = saga["sequence"]
        raise WaitTimeout(
            f"saga {saga_id} has not ended within {timeout_s:g} s; it goes on: saga status {saga_id}"
        )

    def _ask(self, method: str, path: str, accept: tuple[int, ...] = (), **options: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **options)
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unusable(f"no saga log at {self._url}: {reason}; start one with `saga up`") from error
        if response.is_success or response.status_code in accept:
            return dict(response.json()) if response.content else {}
        raise _error(response)


def _error(response: httpx2.Response) -> SagaError:
    try:
        problem = response.json()
        detail = "; ".join(
            [problem["detail"], *(f"{error['pointer']}: {error['detail']}" for error in problem["errors"])]
        )
    except (ValueError, KeyError):
        detail = f"the saga log answered {response.status_code}"
    kinds: dict[int, type[SagaError]] = {
        404: NotFound,
        409: Conflict,
        412: Stale,
        422: InvalidContract,
        503: Unusable,
    }
    return kinds.get(response.status_code, SagaError)(detail)


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
    """An object from a JSON or YAML file, or `-`. Raises InvalidContract."""
    import yaml

    try:
        value = yaml.safe_load(sys.stdin.read() if source == "-" else _text(source))
    except yaml.YAMLError as error:
        raise InvalidContract(f"{source} is neither JSON nor YAML: {error}") from error
    if not isinstance(value, dict):
        raise InvalidContract(f"{source} must hold one object")
    return value


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from error
