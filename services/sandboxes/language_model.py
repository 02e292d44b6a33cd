"""A sandbox of a language model that speaks OpenAI's chat completions, over real HTTP.

It understands nothing: it gives the answers it was given, by words that stand in the question. What it refuses is a
request that no strict endpoint would take.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    role: str
    content: str


class Completion(BaseModel):
    """The part of the request that is looked at."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message]
    response_format: dict[str, Any]


@dataclass
class LanguageModel:
    """`answers`: what to say to a question that holds these words, as JSON or (a text) as it stands."""

    answers: Mapping[str, Any]
    key: str = ""
    status: int = 200
    finish_reason: str = "stop"
    asked: list[Completion] = field(default_factory=list)
    url: str = ""

    def answer(self, question: str) -> str:
        """What it says. Raises HTTPException if it was told no answer to that."""
        for words, answer in self.answers.items():
            if words in question:
                return answer if isinstance(answer, str) else json.dumps(answer)
        raise HTTPException(400, "no answer to this question")


def create_language_model(model: LanguageModel) -> FastAPI:
    """The HTTP API of the model."""
    app = FastAPI(title="Language model sandbox", docs_url=None, redoc_url=None)

    @app.post("/v1/chat/completions")
    async def complete(asked: Completion, authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        model.asked.append(asked)
        if model.key and authorization != f"Bearer {model.key}":
            raise HTTPException(401, "wrong key")
        if model.status != 200:
            raise HTTPException(model.status, "not now")
        _require_strict(asked.response_format["json_schema"]["schema"])
        message = {"role": "assistant", "content": model.answer(asked.messages[-1].content)}
        return {"choices": [{"index": 0, "message": message, "finish_reason": model.finish_reason}]}

    return app


def _require_strict(schema: Any) -> None:
    """As strict endpoints do: every property required, no others. Raises HTTPException."""
    if isinstance(schema, list):
        for item in schema:
            _require_strict(item)
    if isinstance(schema, dict):
        if schema.get("type") == "object" and (
            schema.get("additionalProperties") is not False
            or set(schema.get("required", ())) != set(schema.get("properties", ()))
        ):
            raise HTTPException(400, "the schema is not strict")
        for part in schema.values():
            _require_strict(part)


@asynccontextmanager
async def serve_language_model(model: LanguageModel) -> AsyncIterator[str]:
    """The model on a free loopback port. Gives its base URL, up to and with `/v1`."""
    from saga.api.server import serve_api

    async with serve_api(create_language_model(model)) as url:
        model.url = f"{url}/v1"
        yield model.url
