"""Ask a person where a finding wants that, and wait for the signal; undo: take the case from the queue.

The step keeps its own account, because a case must be seen while the handler is left. A signal that is no decision
leaves the case open, and says there why. Without an answer in time the review ends as expired, which denies.
"""

from contracts.chargebacks import Review, Reviewed
from contracts.failure import InvalidContract
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.chargebacks.queue import CLOSED, WITHDRAWN, Place, Queue
from services.chargebacks.reviewing import NotDecided, decided, expired, heard, passed, wants_a_person
from services.chargebacks.tables import ReviewCase

DATABASE = StepDatabase("review", tables=(ReviewCase,))


@action("chargebacks.review", database=DATABASE, guard=False)
async def review(ctx: ActionContext, command: Review) -> Reviewed:
    findings = heard(command)
    if not wants_a_person(findings):
        return passed(command, findings)
    queue, place = _queue(ctx), _place(ctx)
    case = await queue.open(place, command, findings, ctx.now())
    if case.state == CLOSED:
        return Reviewed.model_validate(case.answer)
    if case.state == WITHDRAWN:
        raise Refused("review.withdrawn", "the saga turned round, and nobody need decide any more")
    left_s = max(0.0, (case.due_at - ctx.now()).total_seconds())
    payload = await ctx.signal(left_s)
    try:
        # Who answers before the case is closed is heard, even if nobody could listen in time.
        answer = expired(command, findings) if payload is None else decided(command, findings, payload)
    except NotDecided as problem:
        if left_s:
            await queue.complain(place, str(problem))
            await ctx.wait_again(left_s)
        answer = expired(command, findings)
    await queue.close(place, answer, ctx.now())
    return answer


@review.rehearsal
async def ask_nobody(ctx: ActionContext, command: Review) -> Reviewed:
    """A dry run ends where a person would have to decide."""
    findings = heard(command)
    if wants_a_person(findings):
        codes = ", ".join(sorted({one.code for one in findings if one.severity == "review"}))
        raise Refused("review.needs_a_person", f"a person would have to decide about {codes}")
    return passed(command, findings)


@review.compensation
async def withdraw(ctx: ActionContext, command: Review, output: Reviewed | None) -> None:
    if output is None and wants_a_person(heard(command)):
        await _queue(ctx).withdraw(_place(ctx), command, ctx.now())


def _place(ctx: ActionContext) -> Place:
    return Place(ctx.saga_id, ctx.step)


def _queue(ctx: ActionContext) -> Queue:
    if ctx.database is None:
        raise InvalidContract("review needs its database")
    return Queue(ctx.database)


app = service_app(review)
