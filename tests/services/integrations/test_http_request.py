"""HTTP_REQUEST: what is sent, what is made of the answer, how much of it, and what nobody may read."""

import base64
import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.breakers import valid_breaker_name
from contracts.ids import new_saga_id
from contracts.integrations import HttpRequest
from saga.execution import Done, Failed
from services.integrations.calls import breaker_name
from services.integrations.steps.http_request import http_request
from tests.services.integrations.targets import Target, no_answer, open_target
from tests.services.steps import Steps


def to(target: Target, at: str = "/things", /, **fields: Any) -> HttpRequest:
    return HttpRequest.model_validate({"url": f"{target.url}{at}", **fields})


async def failed(steps: Steps, command: HttpRequest) -> Any:
    end = await steps.do(http_request, command, new_saga_id())
    assert isinstance(end, Failed), end
    return end.failure


async def test_a_request_is_sent_as_told_and_its_answer_stated(steps: Steps, target: Target) -> None:
    target.answers = [JSONResponse({"quote": {"price": 40, "tags": ["x"]}}, 201, {"ETag": '"1"'})]
    command = to(
        target, "/quotes/{lead}", method="POST", path={"lead": "L/17?x"}, query={"a": [1, True], "b": "ü&"},
        headers={"X-Team": "blue"}, body={"zip": "8001"}, extract={"price": "/quote/price", "tag": "/quote/tags/0"},
    )  # fmt: skip
    saga_id = new_saga_id()
    output = await steps.done(http_request, command, saga_id)
    assert (output.status, output.extracted) == (201, {"price": 40, "tag": "x"})
    assert output.headers == {"content-type": "application/json", "etag": '"1"'}
    (asked,) = target.asked
    assert (asked.method, asked.body) == ("POST", b'{"zip":"8001"}')
    assert asked.query == "a=1&a=true&b=%C3%BC%26"
    assert asked.headers["x-team"] == "blue"
    assert asked.headers["idempotency-key"] == f"{saga_id}.http_request"
    assert asked.headers["host"] == target.place


async def test_a_path_parameter_stays_one_part_of_the_path(steps: Steps, target: Target) -> None:
    await steps.done(http_request, to(target, "/quotes/{id}", path={"id": "../admin?x#y"}), new_saga_id())
    assert target.asked[0].path == "/quotes/..%2Fadmin%3Fx%23y"
    assert target.asked[0].query == ""
    assert (await failed(steps, to(target, "/quotes/{id}", path={"id": ".."}))).code == "http.url"


async def test_a_second_delivery_sends_nothing_and_states_the_same(steps: Steps, target: Target) -> None:
    saga_id, command = new_saga_id(), to(target, method="POST")
    first = await steps.done(http_request, command, saga_id)
    assert await steps.done(http_request, command, saga_id) == first
    assert len(target.asked) == 1


@pytest.mark.parametrize(("auth", "header"), [
    ({"kind": "bearer", "secret": "token"}, ("authorization", "Bearer s3cret-token")),
    ({"kind": "basic", "username": "me", "secret": "token"},
     ("authorization", f"Basic {base64.b64encode(b'me:s3cret-token').decode()}")),
    ({"kind": "header", "header": "X-Api-Key", "secret": "token"}, ("x-api-key", "s3cret-token")),
])  # fmt: skip
async def test_a_secret_goes_out_by_name_and_never_comes_back(
    steps: Steps, target: Target, auth: dict[str, Any], header: tuple[str, str]
) -> None:
    async def echo(request: Any) -> Response:
        return JSONResponse({"heard": dict(request.headers)}, 200, {"X-Request-Id": header[1]})

    target.then = echo
    output = await steps.done(http_request, to(target, auth=auth), new_saga_id())
    assert target.asked[0].headers[header[0]] == header[1]
    secret = header[1].rpartition(" ")[2]
    assert secret not in output.model_dump_json()

    async def refuse(request: Any) -> Response:
        return JSONResponse({"heard": dict(request.headers)}, 400)

    target.then = refuse
    failure = await failed(steps, to(target, auth=auth))
    assert failure.code == "http.status"
    assert secret not in failure.model_dump_json()


async def test_a_secret_comes_from_a_file_first(steps: Steps, target: Target, tmp_path: Any) -> None:
    (tmp_path / "token").write_text("from-file\n")
    steps.environment = {**steps.environment, "SAGA_SECRETS_DIR": str(tmp_path)}
    await steps.done(http_request, to(target, auth={"kind": "bearer", "secret": "token"}), new_saga_id())
    assert target.asked[0].headers["authorization"] == "Bearer from-file"


@pytest.mark.parametrize(("environment", "code"), [
    ({"SAGA_SECRET_TOKEN": ""}, "secret.unusable"),
    ({"SAGA_SECRET_TOKEN": "two\r\nlines: x"}, "secret.unusable"),
    ({"SAGA_SECRET_HOSTS": "token=crm.example"}, "secret.other_host"),
])  # fmt: skip
async def test_a_secret_that_may_not_be_sent_is_refused(
    steps: Steps, target: Target, environment: dict[str, str], code: str
) -> None:
    steps.environment = {**steps.environment, **environment}
    assert (await failed(steps, to(target, auth={"kind": "bearer", "secret": "token"}))).code == code
    assert (
        await failed(steps, to(target, auth={"kind": "bearer", "secret": "nobody"}))
    ).code == "secret.unknown"
    assert target.asked == []


@pytest.mark.parametrize("fields", [
    {"headers": {"Authorization": "x"}}, {"headers": {"Host": "x"}}, {"headers": {"X-A": "a\r\nX-B: b"}},
    {"url": "ftp://x/"}, {"url": "https://me:pw@x/"}, {"url": "//x"}, {"surprise": 1}, {"redirects": 9},
    {"undo": {"url": "https://x/${steps.a.b}"}}, {"undo": {"url": "https://x/", "undo": None}},
])  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpRequest.model_validate({"url": "https://x.example/", **fields})


@pytest.mark.parametrize(("method", "status", "code", "retryable", "effect"), [
    ("POST", 503, "http.status", True, "none"), ("POST", 429, "http.status", True, "none"),
    ("POST", 500, "http.status", True, "unknown"), ("GET", 500, "http.status", True, "none"),
    ("POST", 404, "http.status", False, "none"), ("POST", 301, "http.status", False, "unknown"),
    ("POST", 501, "http.status", False, "unknown"),
])  # fmt: skip
async def test_a_status_says_what_is_known_of_the_effect(
    steps: Steps, target: Target, method: str, status: int, code: str, retryable: bool, effect: str
) -> None:
    target.answers = [Response(status_code=status)]
    failure = await failed(steps, to(target, method=method))
    assert (failure.code, failure.retryable, failure.effect) == (code, retryable, effect)
    assert failure.details["status"] == status


async def test_statuses_can_be_expected(steps: Steps, target: Target) -> None:
    target.answers = [Response(status_code=404)]
    assert (await steps.done(http_request, to(target, expect=[200, 404]), new_saga_id())).status == 404
    target.answers = [Response(status_code=200)]
    assert (await failed(steps, to(target, expect=[404]))).code == "http.status"


@pytest.mark.parametrize(("header", "seconds"), [
    ("7", 7.0), ("999999999", 86_400.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("-1", None),
])  # fmt: skip
async def test_retry_after_is_honoured(
    steps: Steps, target: Target, header: str, seconds: float | None
) -> None:
    target.answers = [Response(status_code=503, headers={"Retry-After": header})]
    assert (await failed(steps, to(target))).retry_after_s == seconds


async def test_no_connection_means_no_effect(steps: Steps, target: Target) -> None:
    async with open_target() as other:
        gone = other.url
    steps.environment = {"SAGA_HTTP_ALLOW": gone.removeprefix("http://")}
    failure = await failed(steps, HttpRequest(method="POST", url=gone))
    assert (failure.code, failure.effect, failure.retryable) == ("http.unreachable", "none", True)


async def test_an_answer_that_never_comes_leaves_the_effect_open(steps: Steps, target: Target) -> None:
    target.then = no_answer
    failure = await failed(steps, to(target, method="POST", timeout_s=0.2))
    assert (failure.code, failure.effect, failure.retryable) == ("http.no_answer", "unknown", True)


BOMB = gzip.compress(b"0" * 50_000_000, mtime=0)


@pytest.mark.parametrize(("body", "encoding", "says"), [
    (b"x" * 70_000, "identity", "larger than"), (BOMB, "gzip", "larger than"), (b"no gzip", "gzip", "not packed"),
    (gzip.compress(b"x" * 100, mtime=0)[:-9], "gzip", "in the middle"),
    (zlib.compress(b"x"), "deflate", "expected gzip"),
    (b"x", "br", "expected gzip"),
])  # fmt: skip
async def test_a_body_is_read_within_its_limit(
    steps: Steps, target: Target, body: bytes, encoding: str, says: str
) -> None:
    target.answers = [Response(body, headers={"Content-Encoding": encoding})]
    failure = await failed(steps, to(target))
    assert failure.code == "http.no_answer"
    assert says in failure.message


async def test_a_well_packed_body_does_not_fill_the_memory(steps: Steps, target: Target) -> None:
    target.answers = [Response(BOMB, headers={"Content-Encoding": "gzip"})]
    await failed(steps, to(target))
    tracemalloc.start()
    try:
        await failed(steps, to(target))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


async def test_a_packed_body_is_unpacked(steps: Steps, target: Target) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/problem+json"}
    target.answers = [Response(gzip.compress(b'{"a": 1}'), headers=headers)]
    assert (await steps.done(http_request, to(target), new_saga_id())).body == {"a": 1}


@pytest.mark.parametrize(
    ("body", "extract"), [(b"{", {}), (b'{"a": 1}', {"b": "/b"}), (b"[1]", {"b": "/-1"})]
)
async def test_a_body_that_is_not_as_promised_is_no_success(
    steps: Steps, target: Target, body: bytes, extract: dict[str, str]
) -> None:
    target.answers = [Response(body, media_type="application/json")]
    failure = await failed(steps, to(target, method="POST", extract=extract))
    assert (failure.code, failure.effect, failure.retryable) == ("http.body", "unknown", False)


async def test_redirects_are_followed_only_if_wanted(steps: Steps, target: Target) -> None:
    moved = Response(status_code=302, headers={"Location": "/new"})
    target.answers = [moved, JSONResponse({"new": True})]
    assert (await failed(steps, to(target))).details["status"] == 302
    output = await steps.done(http_request, to(target, method="POST", body={}, redirects=1), new_saga_id())
    assert output.body == {"new": True}
    target.answers = [moved]
    assert (await failed(steps, to(target, redirects=3))).details["status"] == 302


async def test_credentials_do_not_follow_to_another_origin(steps: Steps, target: Target) -> None:
    async with open_target() as other:
        steps.environment = {**steps.environment, "SAGA_HTTP_ALLOW": f"{target.place},{other.place}"}
        target.answers = [Response(status_code=302, headers={"Location": f"{other.url}/x"})]
        auth = {"kind": "bearer", "secret": "token"}
        command = to(target, auth=auth, headers={"X-Key": "k"}, redirects=1)
        await steps.done(http_request, command, new_saga_id())
        assert "authorization" in target.asked[0].headers
        assert not {"authorization", "x-key"} & other.asked[0].headers.keys()
        target.answers = [Response(status_code=307, headers={"Location": f"{other.url}/x"})]
        posted = to(target, method="POST", body={"private": 1}, redirects=1)
        assert (await failed(steps, posted)).code == "http.blocked"


async def test_a_breaker_per_service_opens_and_leaves_the_others_alone(steps: Steps, target: Target) -> None:
    target.answers = [Response(status_code=503)]
    for _ in range(50):
        await failed(steps, to(target, service="carrier"))
    asked = len(target.asked)
    end = await steps.do(http_request, to(target, service="carrier"), new_saga_id())
    assert type(end).__name__ == "Deferred"
    impatient = await failed(steps, to(target, service="carrier", open_breaker="fail"))
    assert (impatient.code, impatient.effect, impatient.retryable) == ("http.breaker_open", "none", True)
    assert len(target.asked) == asked
    assert (await failed(steps, to(target))).code == "http.status"


async def test_the_undo_request_is_filled_from_the_answer(steps: Steps, target: Target) -> None:
    target.answers = [JSONResponse({"id": "Q7"}, 201), Response(status_code=404)]
    undo = {"method": "DELETE", "url": target.url + "/quotes/{id}", "path": {"id": "${output.extracted.id}"}}
    command = to(target, "/quotes", method="POST", extract={"id": "/id"}, expect=[201], undo=undo)
    saga_id = new_saga_id()
    output = await steps.done(http_request, command, saga_id)
    assert await steps.undo(http_request, command, saga_id, output.model_dump(mode="json")) == Done(None)
    asked = target.asked[1]
    assert (asked.method, asked.path) == ("DELETE", "/quotes/Q7")
    assert asked.headers["idempotency-key"] == f"{saga_id}.http_request.undo"


async def test_an_undo_that_needs_an_answer_which_never_came_asks_for_a_person(
    steps: Steps, target: Target
) -> None:
    target.answers = [Response(status_code=500)]
    undo = {"method": "DELETE", "url": target.url + "/${output.extracted.id}"}
    command, saga_id = to(target, method="POST", undo=undo), new_saga_id()
    await steps.do(http_request, command, saga_id)
    end = await steps.undo(http_request, command, saga_id)
    assert isinstance(end, Failed)
    assert end.failure.code == "http.undo_unknown"
    by_key = to(target, method="POST", undo={"method": "POST", "url": target.url + "/cancel"})
    target.answers = [Response(status_code=200)]
    assert await steps.undo(http_request, by_key, saga_id) == Done(None)
    assert target.asked[-1].path == "/cancel"


@given(st.text(max_size=200))
def test_every_place_has_a_breaker_of_a_valid_name(service: str) -> None:
    assert valid_breaker_name(breaker_name(service))
    assert breaker_name("127.0.0.1:8080") == "http.127.0.0.1-8080"
    assert breaker_name("[::1]:80") == "http.1--80"
