"""What an API answers instead of what was asked for.

SagaError
├── RemoteError                     `status` (0: no answer), `code`, and `errors` with their pointers
│   ├── RemoteNotFound              404; also a NotFound
│   ├── RemoteConflict              409; also a Conflict
│   ├── RemoteStale                 412: it has changed since it was read; also Stale
│   ├── RemoteInvalid               422; also an InvalidContract
│   └── RemoteUnavailable           502, 503, 504, or no answer at all; also Unusable
├── WaitTimeout                     what was waited for has not ended in time; it goes on
└── ExecutionFailed                 of `saga.remote.executions`: it has ended, and not done what it should
"""

import httpx2

from contracts.failure import Conflict, InvalidContract, NotFound, SagaError, Stale, Unusable
from contracts.pointers import Problem


class RemoteError(SagaError):
    """A problem (RFC 9457) that the API answered with."""

    def __init__(self, text: str, *, status: int, code: str, errors: tuple[Problem, ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.errors = errors


class RemoteNotFound(RemoteError, NotFound):
    """There is no such thing."""


class RemoteConflict(RemoteError, Conflict):
    """It contradicts what is there."""


class RemoteStale(RemoteError, Stale):
    """What was to be changed has changed since it was read: read it again."""


class RemoteInvalid(RemoteError, InvalidContract):
    """What was sent is wrong; `errors` say where."""


class RemoteUnavailable(RemoteError, Unusable):
    """The API did not answer, or cannot at the moment. What was asked for may have been done."""


class WaitTimeout(SagaError):
    """What was waited for has not ended in time; it goes on."""

    code = "wait.timeout"
    exit_code = 7


_KINDS: dict[int, type[RemoteError]] = {
    404: RemoteNotFound,
    409: RemoteConflict,
    412: RemoteStale,
    422: RemoteInvalid,
    502: RemoteUnavailable,
    503: RemoteUnavailable,
    504: RemoteUnavailable,
}


def error_of(response: httpx2.Response) -> RemoteError:
    """The exception that says what the answer says."""
    status = response.status_code
    kind = _KINDS.get(status, RemoteError)
    try:
        problem = response.json()
        errors = tuple(Problem(error["pointer"], error["detail"]) for error in problem["errors"])
        # What the problem's detail has said already is not said twice.
        untold = [str(error) for error in errors if str(error) not in problem["detail"]]
        text = "; ".join([problem["detail"], *untold])
        return kind(text, status=status, code=problem["code"], errors=errors)
    except (ValueError, KeyError, TypeError):
        # Whoever stands before the API may answer with anything.
        return kind(f"the API answered {status}", status=status, code=f"http.{status}")


def unreachable(url: str, error: Exception) -> RemoteUnavailable:
    """The exception for an API that does not answer."""
    reason = str(error) or type(error).__name__
    text = f"no API at {url}: {reason}; start one with `saga up`"
    return RemoteUnavailable(text, status=0, code="api.unreachable")
