"""A real HTTP server whose answers a test sets, and which keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from saga.api.server import serve_api

type Behaviour = Callable[[Request], Awaitable[Response]]


@dataclass
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Target:
    """`answers` are given in turn, the last one for ever; `then` decides instead if it is set."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[Response] = field(default_factory=lambda: [JSONResponse({"ok": True})])
    then: Behaviour | None = None
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        headers, path = dict(request.headers), request.scope["raw_path"].decode()
        self.asked.append(Asked(request.method, path, request.url.query, headers, body))
        self.heard.set()
        if self.then is not None:
            return await self.then(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def open_target() -> AsyncIterator[Target]:
    target = Target()
    app = FastAPI(openapi_url=None)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    app.add_api_route("/{path:path}", target.answer, methods=methods)
    async with serve_api(app, "127.0.0.1", 0) as url:
        target.url = url
        yield target


async def no_answer(request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")
