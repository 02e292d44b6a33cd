"""Running the children of a step, and undoing them.

The step starts as many as its limit allows and rests; each child that ends starts the next one (`reporting`), and
the last one wakes the step. Should a report be missing (a child was cancelled before its first step ran), a look
at the children in flight, now and then, finds it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import JsonValue

from contracts.children import LABELS, MAX_ERRORS, AtLeast, AtMost, ChildFailed, FanOut
from contracts.failure import Conflict, InvalidContract, NotFound
from events.database import Database
from saga.action import ActionContext, EffectUnknown, NotYet, Unavailable
from saga.client import StartOptions
from saga.state import SagaState, SagaStatus
from services.integrations.children.ledger import IN_FLIGHT, Ledger, Plan, PlannedChild
from services.integrations.children.tables import Child, Family

MAX_RESULT_BYTES = 200_000
LOOK_AFTER_S = 60.0
_AT_ONCE = 32
_UNDONE_PER_CALL = 200
_LOOKED_AT = 50
_MIN_WAIT_S, _MAX_WAIT_S = 0.05, 5.0


def plan_of(command: FanOut, children: Sequence[PlannedChild]) -> Plan:
    """What the step's join and its tolerance of failures mean for so many children."""
    total = len(children)
    match command.join:
        case "all":
            match command.on_item_failure:
                case "stop":
                    tolerated = 0
                case "continue":
                    tolerated = total
                case AtMost(at_most=tolerated):
                    pass
            needed = total
        case "any":
            needed, tolerated = 1, total - 1
        case AtLeast(at_least=needed):
            tolerated = total - needed
    return Plan(
        children=children, limit=command.limit, needed=needed, tolerated=tolerated, shared=command.shared
    )


async def run_children(ctx: ActionContext, plan: Plan) -> tuple[Family, list[Child]]:
    """The family and its children once the step has what it wants.

    Raises Suspend until then, and EffectUnknown when too many have failed: the saga then undoes the others.
    """
    ledger = Ledger(_database(ctx))
    family = await ledger.open(ctx.key, ctx.saga_id, ctx.step, plan, ctx.now())
    if family.state == "open":
        in_flight = await ledger.children(ctx.key, IN_FLIGHT)
        await _all(in_flight, lambda child: _look_after(ctx, ledger, family, child))
        family = await ledger.open(ctx.key, ctx.saga_id, ctx.step, plan, ctx.now())
    if family.state == "open":
        age_s = (ctx.now() - family.begun_at).total_seconds()
        await ctx.wait_again(max(LOOK_AFTER_S, age_s / 4))
    if family.state != "satisfied":
        failed = await ledger.children(ctx.key, "failed", limit=1)
        first = f"; the first: {_failed(failed[0]).message}" if failed else ""
        raise EffectUnknown(
            "children.failed",
            f"{family.failed} of {family.total} children failed, {family.tolerated} may{first}",
            details={"errors": [error.model_dump() for error in await errors_of(ctx)]},
            retryable=False,
        )
    await ledger.turned_round(await ledger.children(ctx.key, IN_FLIGHT))
    await _all(await ledger.children(ctx.key, "undoing"), lambda child: _turn_round(ctx, family, child))
    return family, await ledger.children(ctx.key)


async def undo_children(ctx: ActionContext) -> None:
    """Turn all children round and wait until nothing is left of them.

    Raises NotYet until then, and Unavailable if one cannot be undone or waits for a person.
    """
    ledger = Ledger(_database(ctx))
    family = await ledger.undo(ctx.key, ctx.saga_id, ctx.step, ctx.now())
    live = await ledger.live(ctx.key, _UNDONE_PER_CALL)
    await _all(live, lambda child: _turn_round(ctx, family, child))
    await ledger.turned_round(live)
    if len(live) == _UNDONE_PER_CALL:
        raise NotYet(_MIN_WAIT_S)
    left = await ledger.children(ctx.key, "undoing", limit=_LOOKED_AT)
    states = await _all(left, lambda child: _settle(ctx, ledger, family, child))
    for child, state in zip(left, states, strict=True):
        if state.status is SagaStatus.WAITING:
            raise Unavailable("child.waits", f"the undo of child {child.saga_id} waits for a person")
    if await ledger.left(ctx.key):
        age_s = (ctx.now() - (family.undoing_at or ctx.now())).total_seconds()
        raise NotYet(min(_MAX_WAIT_S, max(_MIN_WAIT_S, age_s / 5)))


async def report(
    ctx: ActionContext, *, output: JsonValue = None, failure: dict[str, Any] | None = None
) -> bool:
    """Tell the family of a child's end, start who is next, and wake the step if that was all. False: no family."""
    told = await Ledger(_database(ctx)).report(ctx.saga_id, output=output, failure=failure)
    if told is None:
        return False
    await _all(told.start, lambda child: _start(ctx, told.family, child))
    if told.over:
        await wake(ctx, told.family)
    return True


async def wake(ctx: ActionContext, family: Family) -> None:
    """Wake the step that waits for its children."""
    try:
        await ctx.sagas.signal(family.saga_id, family.step, {}, by=ctx.action)
    except Conflict as error:
        ctx.log.info("children.parent_does_not_wait", parent=family.saga_id, reason=str(error))


async def errors_of(ctx: ActionContext) -> list[ChildFailed]:
    """The first children that have failed."""
    failed = await Ledger(_database(ctx)).children(ctx.key, "failed", limit=MAX_ERRORS)
    return [_failed(child) for child in failed]


def failure_of(state: SagaState) -> dict[str, Any]:
    """Why a child has failed: code and message."""
    abort = state.abort or {}
    if failure := abort.get("failure"):
        return {"code": failure["code"], "message": f"step {abort['step']}: {failure['message']}"}
    cause = abort.get("cause", "unknown")
    return {"code": f"child.{cause}", "message": abort.get("reason") or f"the child ended: {cause}"}


async def _look_after(ctx: ActionContext, ledger: Ledger, family: Family, child: Child) -> None:
    if await _start(ctx, family, child):
        return
    state = await ctx.sagas.state(child.saga_id)
    if state.ended and state.status is not SagaStatus.COMPLETED:
        told = await ledger.report(child.saga_id, failure=failure_of(state))
        for following in told.start if told else ():
            await _start(ctx, family, following)


async def _start(ctx: ActionContext, family: Family, child: Child) -> bool:
    """Start a child; false if it had been started before."""
    given = child.input if family.shared is None else {**child.input, "shared": family.shared}
    options = StartOptions(
        saga_id=child.saga_id,
        labels=dict(zip(LABELS, (family.saga_id, family.step, child.name or str(child.number)), strict=True)),
        correlation_id=ctx.correlation_id,
        traceparent=ctx.traceparent,
        directives=ctx.directives,
        source=f"/participants/{ctx.action}",
    )
    try:
        return (await ctx.sagas.start(child.definition, given, options)).created
    except (NotFound, InvalidContract) as error:
        raise EffectUnknown(error.code, f"child {child.number}: {error}", retryable=False) from error


async def _turn_round(ctx: ActionContext, family: Family, child: Child) -> None:
    # Started here, it cannot be started by a worker that wakes up late.
    await _start(ctx, family, child)
    reason = f"step {family.step} of saga {family.saga_id} no longer needs it"
    try:
        await ctx.sagas.undo_child(child.saga_id, reason=reason, by=ctx.action)
    except Conflict as error:
        raise Unavailable("child.past_pivot", str(error)) from error


async def _settle(ctx: ActionContext, ledger: Ledger, family: Family, child: Child) -> SagaState:
    await _turn_round(ctx, family, child)
    state = await ctx.sagas.state(child.saga_id)
    if state.ended:
        await ledger.report(child.saga_id, failure=failure_of(state))
    return state


def _failed(child: Child) -> ChildFailed:
    failure = child.failure or {}
    return ChildFailed(
        child=child.name or child.number,
        saga_id=child.saga_id,
        code=failure.get("code", "child.failed"),
        message=failure.get("message", ""),
    )


async def _all[T](children: Sequence[Child], do: Callable[[Child], Awaitable[T]]) -> list[T]:
    """For every child, some at the same time. Raises what the first raises, once all under way have ended."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(child: Child) -> T:
        async with places:
            return await do(child)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(child)) for child in children]
    except* Exception as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _database(ctx: ActionContext) -> Database:
    if ctx.database is None:
        raise AssertionError(f"{ctx.action} is given its database open")
    return ctx.database
