"""Find or create a session, which from then on shows what the saga does; undo: leave it."""

from contracts.casefiles import CreateSession, SessionOpened
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.casefiles.acting import acting
from services.casefiles.sessions import WantedSession, find_or_create, leave
from services.casefiles.tables import DATABASE, CasefileRow, SessionUse


@action("casefiles.create_session", database=DATABASE)
async def create_session(ctx: ActionContext, command: CreateSession) -> SessionOpened:
    wanted = WantedSession(
        user_id=acting(ctx, command.user_id) or await _owner(ctx, command.casefile_id),
        kind=command.kind,
        name=command.name,
        casefile_id=command.casefile_id,
    )
    found = await find_or_create(ctx.db, wanted, ctx.now(), kept=False)
    ctx.db.add(
        SessionUse(
            session_id=found.session.session_id,
            saga_id=ctx.saga_id,
            step=ctx.step,
            definition=ctx.definition,
            linked=found.linked,
            at=ctx.now(),
        )
    )
    return SessionOpened(
        session_id=found.session.session_id,
        kind=found.session.kind,
        user_id=found.session.user_id,
        casefile_id=found.session.casefile_id,
        created=found.created,
    )


# A rehearsal is rolled back, so that it may be the real thing.
create_session.rehearsal(create_session.handler)


@create_session.compensation
async def leave_session(ctx: ActionContext, command: CreateSession, output: SessionOpened | None) -> None:
    await leave(ctx.db, ctx.saga_id, ctx.step)


async def _owner(ctx: ActionContext, casefile_id: str | None) -> str:
    casefile = await ctx.db.get(CasefileRow, casefile_id) if casefile_id else None
    if casefile is None:
        raise Refused("session.no_user", "whose session? name user_id, or a casefile that there is")
    return casefile.owner


app = service_app(create_session)
