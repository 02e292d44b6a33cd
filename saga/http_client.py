"""HTTP clients of services, for what lies outside."""

from functools import cache
from ssl import SSLContext
from typing import Any

import httpx2


def http_client(**options: Any) -> httpx2.AsyncClient:
    """A client with these options of httpx2's. Nothing it sends goes through the proxies, or with the credentials, of
    this machine's user."""
    return httpx2.AsyncClient(verify=_certificates(), trust_env=False, **options)


@cache
def _certificates() -> SSLContext:
    # 20 ms a time, and every action that calls has a client of its own.
    return httpx2.create_ssl_context(trust_env=False)
