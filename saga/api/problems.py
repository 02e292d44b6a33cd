"""Errors over HTTP: RFC 9457 problem details for everything, the framework's own errors included.

Messages say which input, where, and what was expected; never a payload's value, never a stack trace.
"""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from contracts.definition import Flawed
from contracts.failure import Conflict, Forbidden, InvalidContract, NotFound, SagaError, Stale, Unusable
from events.publish import PublishFailed
from events.read import ReadFailed
from saga.api.preconditions import PreconditionRequired
from saga.signatures import InvalidSecret, InvalidSignature

log = structlog.get_logger(__name__)

_MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """One wrong field: a JSON pointer into the request, and what is wrong."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details; `code` is stable."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldProblem] = []


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "content": {_MEDIA_TYPE: {}}, "description": "The request cannot be answered"},
    "5XX": {"model": Problem, "content": {_MEDIA_TYPE: {}}, "description": "The service cannot answer"},
}


def problem(
    request: Request, status: int, code: str, detail: str, *, errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:  # fmt: skip
    """A problem answer."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        code=code,
        errors=[FieldProblem(**error) for error in errors or []],
    )
    return JSONResponse(body.model_dump(mode="json"), status, headers=headers, media_type=_MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""

    @app.exception_handler(SagaError)
    async def saga_error(request: Request, error: SagaError) -> JSONResponse:
        errors = getattr(error, "problems", None)
        return problem(request, _status(error), error.code, str(error), errors=errors)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [problem for found in error.errors() for problem in _field_problems(found)]
        return problem(request, 422, "request.invalid", "the request has wrong fields", errors=errors)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods_of(app, request))
        return problem(
            request, error.status_code, f"http.{error.status_code}", str(error.detail), headers=headers
        )

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.exception("api.unexpected_error", path=request.url.path, error=str(error))
        return problem(request, 500, "internal", "an unexpected error; the service's log tells more")


def _field_problems(found: dict[str, Any]) -> list[dict[str, str]]:
    pointer = "".join(f"/{part}" for part in found["loc"])
    cause = found.get("ctx", {}).get("error")
    if isinstance(cause, Flawed):
        return [{"pointer": pointer + one.pointer, "detail": one.detail} for one in cause.problems]
    return [{"pointer": pointer, "detail": found["msg"]}]


def _status(error: SagaError) -> int:
    match error:
        case NotFound():
            return 404
        case Forbidden():
            return 403
        case Stale():
            return 412
        case PreconditionRequired():
            return 428
        case InvalidSignature():
            return 401
        case Conflict():
            return 409
        case InvalidContract():
            return 422
        case Unusable() | PublishFailed() | ReadFailed() | InvalidSecret():
            return 503
        case _:
            return 500


def _methods_of(app: FastAPI, request: Request) -> list[str]:
    """All methods of the path; the framework names only those of the first route that matches."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]
