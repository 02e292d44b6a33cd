"""What the marketplace's answers say of the effect."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from contracts.failure import InvalidContract
from contracts.marketplace import MAX_REASON
from saga.action import Refused, Unavailable
from saga.api.server import serve_api
from services.claims.marketplace_client import Tools, tools
from services.claims.settings import ClaimsSettings
from tests.services.claims.kit import a_case

CASE = '{"case_id": "K-1", "claim_id": "C-1", "status": "rejected", "reason": "%s"}'


@dataclass
class Answer:
    status: int = 200
    body: str = CASE % "no"


@pytest.fixture
def answer() -> Answer:
    return Answer()


@pytest.fixture
async def client(answer: Answer) -> AsyncIterator[Tools]:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def everything(path: str, request: Request) -> Response:
        return Response(answer.body, answer.status, media_type="application/json")

    async with serve_api(app) as url, tools({"SAGA_MARKETPLACE_URL": f"{url}/"}) as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "body", "code", "effect", "retryable"),
    [
        (503, "", "marketplace.unavailable", "none", True),
        (429, "", "marketplace.unavailable", "none", True),
        (401, "", "marketplace.access_denied", "none", False),
        (403, "", "marketplace.access_denied", "none", False),
        (409, "", "marketplace.refused", "none", False),
        (500, "", "marketplace.no_answer", "unknown", True),
        (200, "<html>", "marketplace.no_answer", "unknown", True),
        (200, "[]", "marketplace.no_answer", "unknown", True),
        (200, '{"case_id": "K-1"}', "marketplace.no_answer", "unknown", True),
    ],
)
async def test_an_answer_says_whether_there_was_an_effect(
    client: Tools, answer: Answer, status: int, body: str, code: str, effect: str, retryable: bool
) -> None:
    answer.status, answer.body = status, body
    with pytest.raises((Refused, Unavailable)) as raised:
        await client.marketplace.submit("token", "key", a_case())
    error: Any = raised.value
    assert (error.failure.code, error.failure.effect, error.failure.retryable) == (code, effect, retryable)


async def test_many_words_are_cut(client: Tools, answer: Answer) -> None:
    answer.body = CASE % ("no " * 1_000)
    assert len((await client.marketplace.case("token", "K-1")).reason) == MAX_REASON


def test_settings_come_from_the_environment_and_say_what_is_wrong() -> None:
    assert ClaimsSettings.of({"SAGA_CLAIMS_POLL_S": "5"}).poll_s == 5
    with pytest.raises(InvalidContract, match=r"SAGA_CLAIMS_.*fee_rate"):
        ClaimsSettings.of({"SAGA_CLAIMS_FEE_RATE": "2"})
