"""From a contract to a request, and from an answer to what the step states: the rules of calling over HTTP."""

import base64
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import SecretStr
from pydantic_core import from_json, to_json

from contracts.failure import MAX_RETRY_AFTER_S
from contracts.integrations import BasicAuth, BearerAuth, HttpCall
from saga.action import EffectUnknown, Refused, Unavailable
from saga.secrets import LocalSecrets, Secrets
from services.integrations.addresses import Allowed
from services.integrations.outbound import Answer, Blocked, Limits, NoAnswer, Outbound, Request, Unreachable

ALLOW_VARIABLE = "SAGA_HTTP_ALLOW"
SAFE_METHODS = frozenset({"GET", "HEAD"})
REFUSED_WITHOUT_EFFECT = frozenset({425, 429, 503})
EXCERPT = 512
_HIDDEN = "***"
_MAX_BREAKER_NAME = 128


@dataclass(frozen=True, slots=True)
class Outside:
    """What a step that calls out works with."""

    client: Outbound
    secrets: Secrets


@asynccontextmanager
async def outside(environment: Mapping[str, str]) -> AsyncIterator[Outside]:
    """The client and the secrets by the settings. Raises InvalidContract if `SAGA_HTTP_ALLOW` is not readable."""
    async with Outbound(Allowed.of(environment.get(ALLOW_VARIABLE, ""))) as client:
        yield Outside(client, LocalSecrets(environment))


def target(call: HttpCall) -> httpx2.URL:
    """The URL with its path parameters and query. Raises Refused if it is none."""
    text = call.url
    for name, value in call.path.items():
        if str(value) in {"", ".", ".."}:
            raise Refused("http.url", f"path parameter {name!r} is {value!r}, which would change the path")
        text = text.replace(f"{{{name}}}", quote(str(value), safe=""))
    try:
        url = httpx2.URL(text)
        query: list[tuple[str, str | int | float | bool | None]] = [
            (name, item) for name, value in call.query.items() for item in _several(value)
        ]
        url = url.copy_merge_params(query) if query else url
    except httpx2.InvalidURL as error:
        raise Refused("http.url", f"no URL: {error}") from error
    if not url.host or url.userinfo:
        raise Refused("http.url", "a URL needs a host and must not hold credentials")
    return url.copy_with(fragment=None)


def _several(value: Any) -> Iterable[str]:
    for item in value if isinstance(value, list) else [value]:
        yield ("true" if item else "false") if isinstance(item, bool) else str(item)


async def request_of(
    call: HttpCall, secrets: Secrets, idempotency: tuple[str, str]
) -> tuple[Request, list[str]]:
    """The request, and what must be hidden from whatever comes back. Raises Refused."""
    url = target(call)
    credentials, hidden = await _credentials(call, secrets, url.host)
    headers = dict(call.headers)
    body = None
    if call.body is not None:
        given = {name.lower() for name in headers}
        text = isinstance(call.body, str)
        body = str(call.body).encode() if text else to_json(call.body)
        if "content-type" not in given:
            headers["Content-Type"] = "text/plain; charset=utf-8" if text else "application/json"
    if call.method not in SAFE_METHODS:
        headers[idempotency[0]] = idempotency[1]
    request = Request(method=call.method, url=url, headers=headers, credentials=credentials, body=body)
    return request, hidden


async def _credentials(call: HttpCall, secrets: Secrets, host: str) -> tuple[dict[str, str], list[str]]:
    if call.auth is None:
        return {}, []
    secret: SecretStr = await secrets.get(call.auth.secret, host)
    value = secret.get_secret_value()
    match call.auth:
        case BearerAuth():
            return {"Authorization": f"Bearer {value}"}, [value]
        case BasicAuth(username=username):
            packed = base64.b64encode(f"{username}:{value}".encode()).decode("ascii")
            return {"Authorization": f"Basic {packed}"}, [packed, value]
        case other:
            return {other.header: value}, [value]


async def send(client: Outbound, request: Request, limits: Limits) -> Answer:
    """One exchange. Raises Refused (blocked), Unavailable (nothing was sent), EffectUnknown."""
    try:
        return await client.send(request, limits)
    except Blocked as error:
        raise Refused("http.blocked", str(error)) from error
    except Unreachable as error:
        raise Unavailable("http.unreachable", str(error)) from error
    except NoAnswer as error:
        if request.method in SAFE_METHODS:
            raise Unavailable("http.no_answer", str(error)) from error
        raise EffectUnknown("http.no_answer", str(error)) from error


def unexpected(
    request: Request, answer: Answer, hidden: list[str], now: datetime, *, retryable: bool
) -> Exception:
    """What to raise for a status that is no success."""
    details = {"status": answer.status, "body": hide(answer.body.decode(errors="replace"), hidden)[:EXCERPT]}
    message = f"{request.method} {request.url.host} answered {answer.status}"
    wait_s = retry_after_s(answer, now)
    if retryable and (request.method in SAFE_METHODS or answer.status in REFUSED_WITHOUT_EFFECT):
        return Unavailable("http.status", message, details=details, retry_after_s=wait_s)
    if not retryable and (request.method in SAFE_METHODS or 400 <= answer.status < 500):
        return Refused("http.status", message, details=details)
    return EffectUnknown("http.status", message, details=details, retry_after_s=wait_s, retryable=retryable)


def retry_after_s(answer: Answer, now: datetime) -> float | None:
    """Seconds that the answer's Retry-After (seconds or a date) asks for; None if it asks for nothing readable."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def hide[T](value: T, hidden: list[str]) -> T:
    """The value with every secret in its texts made unreadable."""
    if isinstance(value, str):
        text: Any = value
        for secret in hidden:
            text = text.replace(secret, _HIDDEN)
        return text  # type: ignore[no-any-return]
    if isinstance(value, dict):
        return {hide(key, hidden): hide(item, hidden) for key, item in value.items()}  # type: ignore[return-value]
    return [hide(item, hidden) for item in value] if isinstance(value, list) else value  # type: ignore[return-value]


def content(answer: Answer) -> Any:
    """The body: JSON data if its type says so, else text; None if there is none. Raises ValueError: no JSON."""
    if not answer.body:
        return None
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return from_json(answer.body, allow_inf_nan=False)
    return answer.body.decode(errors="replace")


def breaker_name(service: str) -> str:
    """The circuit breaker of a service or a place, `http.<service>`; what no subject may hold becomes `-`."""
    parts = [re.sub(r"[^A-Za-z0-9_-]", "-", part).strip("-_")[:64] for part in service.split(".")]
    return ".".join(["http", *filter(None, parts)])[:_MAX_BREAKER_NAME].rstrip(".")
