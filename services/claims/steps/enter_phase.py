"""The first step of every phase: is it its turn? One that comes too early waits, without holding a process."""

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.claims import EnterPhase, PhaseEntered, SellerNotified
from contracts.facts import explain
from contracts.failure import Conflict
from contracts.phases import PhaseEntry, phase_of
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.entering import Arrival, Entered, Held, commit_all_the_same, enter
from services.claims.marketplace_client import Tools, tools
from services.claims.tables import DATABASE
from services.claims.telling import database_of, tell

_LOOK_S = 60.0


@action("claims.enter_phase", database=DATABASE, guard=False, resource=tools, emits=(SellerNotified,))
async def enter_phase(ctx: ActionContext, command: EnterPhase) -> PhaseEntered:
    outside: Tools = ctx.resource
    entry = _entry(command)
    arrival = Arrival(phase=command.phase, entry=entry, saga_id=ctx.saga_id, step=ctx.step, at=ctx.now())

    async def once(session: AsyncSession) -> Entered | Held:
        came = await enter(session, arrival, outside.settings.patience_s)
        if isinstance(came, Entered) and came.new:
            name = phase_of(command.phase).name.replace("_", " ")
            await tell(
                ctx, session, "phase_entered", f"phase {command.phase}: {name}", about=entry.account_id,
                phase=command.phase, claim_id=getattr(entry, "claim_id", None), key=entry.key,
            )  # fmt: skip
        return came

    came = await commit_all_the_same(database_of(ctx), once)
    if isinstance(came, Held):
        # Woken by the entry it waits for; should that one die before it does so, a look finds it.
        await ctx.wait_again(min(came.left_s, _LOOK_S))
    for saga_id, step in came.waiting:
        await _wake(ctx, saga_id, step)
    return PhaseEntered(key=entry.key, at=came.at, waited=came.waited)


def _entry(command: EnterPhase) -> PhaseEntry:
    try:
        return phase_of(command.phase).entry.model_validate(command.entry)
    except ValidationError as error:
        raise Refused("phase.entry_invalid", explain(error)) from error


async def _wake(ctx: ActionContext, saga_id: str, step: str) -> None:
    try:
        await ctx.sagas.signal(saga_id, step, {}, by=ctx.action)
    except Conflict as error:
        ctx.log.info("claims.nobody_waits", waiting=saga_id, reason=str(error))


app = service_app(enter_phase)
