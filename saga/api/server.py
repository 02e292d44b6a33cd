"""uvicorn inside our own event loop: on a free port if asked, and stopped without waiting for open streams."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from contracts.failure import Unusable

_GRACE_S = 2
_POLL_S = 0.01


@asynccontextmanager
async def serve_api(app: Any, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve an ASGI application for the time of the block; gives its base URL.

    Raises Unusable if the address cannot be bound.
    """
    listening = _listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_S, lifespan="on"
        )
    )
    # Not `serve`, which would take the signals from whoever owns this process.
    serving = asyncio.create_task(server._serve([listening]), name="http")
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise Unusable(f"the HTTP server on {host}:{port} ended at its start")
            await asyncio.sleep(_POLL_S)
        yield f"http://{host}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unusable(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listening.listen(256)
    return listening
