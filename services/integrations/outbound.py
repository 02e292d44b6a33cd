"""Requests to the outside, bounded in time and size. What the end of one says of its effect is a type.

    Blocked      (addresses) not allowed: nothing was sent
    Unreachable  no connection: nothing was sent
    NoAnswer     sent, perhaps, and no whole answer: the effect is not known

No cookies, no proxies of the environment, no credentials over a change of origin. Bodies are read as a
stream and decoded piece by piece, so that neither a long nor a well-packed one fills the memory.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

import httpcore2
import httpx2

from services.integrations.addresses import Allowed, Blocked, GuardedNetwork, Resolver, resolve

_CONNECT_TIMEOUT_S = 5.0
_MAX_CONNECTIONS = 100
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHANGED_TO_GET = frozenset({301, 302, 303})
_USER_AGENT = "choreographed-sagas"


class Unreachable(Exception):
    """No connection: nothing was sent."""


class NoAnswer(Exception):
    """Something may have been sent, but no whole answer came, or one too large. The effect is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send. `credentials` are headers for the first origin alone, never shown or compared."""

    method: str
    url: httpx2.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`timeout_s` is for the whole exchange, redirects included; `max_bytes` for the decoded body."""

    timeout_s: float = 10.0
    max_bytes: int = 65_536
    redirects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: httpx2.Headers
    body: bytes
    url: httpx2.URL


class Outbound:
    """A client for targets that may not be trusted. Open with `async with`."""

    def __init__(self, allowed: Allowed, resolver: Resolver = resolve) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=GuardedNetwork(allowed, resolver),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=30.0,
        )

    async def __aenter__(self) -> "Outbound":
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.aclose()

    async def send(self, request: Request, limits: Limits) -> Answer:
        """One exchange. Raises Blocked, Unreachable, NoAnswer."""
        try:
            async with asyncio.timeout(limits.timeout_s):
                answer = await self._exchange(request, limits)
                for _ in range(limits.redirects):
                    if answer.status not in _REDIRECTS or "location" not in answer.headers:
                        break
                    request = _redirected(request, answer)
                    answer = await self._exchange(request, limits)
                return answer
        except TimeoutError as error:
            raise NoAnswer(f"no whole answer from {_place(request.url)} in {limits.timeout_s} s") from error

    async def _exchange(self, request: Request, limits: Limits) -> Answer:
        url = request.url
        headers = [
            ("Host", url.netloc.decode("ascii")),
            ("User-Agent", _USER_AGENT),
            ("Accept-Encoding", "gzip"),
            *request.headers.items(),
            *request.credentials.items(),
        ]
        try:
            async with self._pool.stream(
                request.method,
                httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"
                ),
                headers=headers,
                content=request.body,
                extensions={"timeout": {"connect": _CONNECT_TIMEOUT_S, "pool": limits.timeout_s}},
            ) as response:
                found = httpx2.Headers(response.headers)
                body = await _read(response.aiter_stream(), found, limits.max_bytes)
                return Answer(status=response.status, headers=found, body=body, url=url)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout) as error:
            raise Unreachable(f"no connection to {_place(url)}") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise NoAnswer(f"{type(error).__name__} from {_place(url)}") from error


async def _read(stream: AsyncIterator[bytes], headers: httpx2.Headers, max_bytes: int) -> bytes:
    unpacking = _unpacking(headers.get("content-encoding", "identity").strip().lower())
    body = bytearray()
    async for packed in stream:
        if unpacking is None:
            body += packed
        else:
            try:
                body += unpacking.decompress(packed, max_bytes - len(body) + 1)
            except zlib.error as error:
                raise NoAnswer("the answer is not packed as its headers say") from error
        if len(body) > max_bytes:
            raise NoAnswer(f"the answer is larger than {max_bytes} bytes")
    if unpacking is not None and body and not unpacking.eof:
        raise NoAnswer("the answer ends in the middle of what is packed")
    return bytes(body)


def _unpacking(encoding: str) -> "zlib._Decompress | None":
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip"}:
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    raise NoAnswer(f"the answer is packed by {encoding[:20]!r}, expected gzip or nothing")


def _redirected(request: Request, answer: Answer) -> Request:
    try:
        target = answer.url.join(answer.headers["location"])
    except httpx2.InvalidURL as error:
        raise NoAnswer("the answer redirects to what is no URL") from error
    if target.scheme not in {"http", "https"} or not target.host or target.userinfo:
        raise Blocked(f"redirected to a URL of scheme {target.scheme[:20]!r} or with credentials")
    same_origin = (target.scheme, target.netloc) == (request.url.scheme, request.url.netloc)
    moved = replace(request, url=target)
    if not same_origin:
        # Credentials, and what the caller's own headers may hold, are meant for whom they were written for.
        moved = replace(moved, credentials={}, headers={})
    if answer.status in _CHANGED_TO_GET and request.method != "HEAD":
        return replace(moved, method="GET", body=None)
    if not same_origin and request.body is not None:
        raise Blocked(f"redirected with its body to another origin, {_place(target)}")
    return moved


def _place(url: httpx2.URL) -> str:
    """Whom it goes to; the rest of a URL may hold what is nobody's business."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


__all__ = ["Answer", "Blocked", "Limits", "NoAnswer", "Outbound", "Request", "Unreachable"]
