"""Call a service over HTTP, with the same key for every attempt; undo: the request the definition gives for it.

A breaker per service: while one is down its sagas wait, and the others go on. See `docs/domains/integrations.md`
for what is made of an answer.
"""

from contracts.failure import InvalidContract
from contracts.integrations import HttpCall, HttpRequest, HttpResponse
from contracts.pointers import find
from contracts.references import compile_template
from saga.action import ActionContext, EffectUnknown, Refused, StepDatabase, Unavailable, action
from saga.breaker import BreakerOpen
from saga.service import service_app
from services.integrations.calls import (
    SAFE_METHODS,
    Outside,
    breaker_name,
    content,
    hide,
    outside,
    request_of,
    send,
    target,
    unexpected,
)
from services.integrations.outbound import Answer, Limits

DATABASE = StepDatabase("http_request")
_STATED_HEADERS = ("content-type", "etag", "last-modified", "location", "link", "x-request-id")


@action("integrations.http_request", database=DATABASE, external=True, resource=outside)
async def http_request(ctx: ActionContext, command: HttpRequest) -> HttpResponse:
    try:
        answer, hidden = await _exchange(ctx, command, command, ctx.key)
    except BreakerOpen as error:
        if command.open_breaker == "wait":
            raise
        raise Unavailable("http.breaker_open", str(error)) from error
    try:
        body = hide(content(answer), hidden)
        extracted = {name: find(body, pointer) for name, pointer in command.extract.items()}
    except (ValueError, InvalidContract) as error:
        raise EffectUnknown("http.body", f"the answer's body: {error}"[:500], retryable=False) from error
    headers = {name: answer.headers[name] for name in _STATED_HEADERS if name in answer.headers}
    return HttpResponse(status=answer.status, headers=hide(headers, hidden), body=body, extracted=extracted)


@http_request.rehearsal
async def only_look(ctx: ActionContext, command: HttpRequest) -> HttpResponse:
    """What only looks is asked; of anything else nobody knows what would be answered."""
    if command.method not in SAFE_METHODS:
        raise Refused("http.not_rehearsed", f"a dry run sends no {command.method}")
    answer: HttpResponse = await http_request(ctx, command)
    return answer


@http_request.compensation
async def undo_request(ctx: ActionContext, command: HttpRequest, output: HttpResponse | None) -> None:
    if command.undo is None:
        return
    known = output.model_dump(mode="json") if output is not None else None
    template = compile_template(command.undo.model_dump(mode="json"), {"output"})
    if known is None and any(not reference.optional for reference in template.references):
        raise EffectUnknown(
            "http.undo_unknown", "the undo refers to an answer that never came", retryable=False
        )
    call = HttpCall.model_validate(template.resolve({"output": known or {}}))
    await _exchange(ctx, command, call, f"{ctx.key}.undo", gone_is_fine=True)


async def _exchange(
    ctx: ActionContext, command: HttpRequest, call: HttpCall, key: str, *, gone_is_fine: bool = False
) -> tuple[Answer, list[str]]:
    """The answer to a call, and what must be hidden of it. Raises what `unexpected` makes of other statuses."""
    resource: Outside = ctx.resource
    limits = Limits(
        timeout_s=command.timeout_s, max_bytes=command.max_response_bytes, redirects=command.redirects
    )
    service = command.service or target(call).netloc.decode("ascii")
    async with ctx.breaker(breaker_name(service)):
        request, hidden = await request_of(call, resource.secrets, (command.idempotency_header, key))
        answer = await send(resource.client, request, limits)
        if answer.status in command.retry_on and answer.status not in command.expect:
            raise unexpected(request, answer, hidden, ctx.now(), retryable=True)
    if gone_is_fine and answer.status in {404, 410}:
        return answer, hidden
    succeeded = (
        answer.status in command.expect if command.expect and not gone_is_fine else answer.status // 100 == 2
    )
    if not succeeded:
        raise unexpected(request, answer, hidden, ctx.now(), retryable=False)
    return answer, hidden


app = service_app(http_request)
