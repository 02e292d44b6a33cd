"""Link a session to a casefile; undo: link it to the one before, if the link is still as it was made."""

from contracts.casefiles import LinkSession, SessionLinked
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.sessions import link, link_back
from services.casefiles.tables import DATABASE


@action("casefiles.link_session", database=DATABASE)
async def link_session(ctx: ActionContext, command: LinkSession) -> SessionLinked:
    linked, before = await link(ctx.db, command.session_id, command.casefile_id, user_id=None)
    return SessionLinked(session_id=linked.session_id, casefile_id=command.casefile_id, before=before)


@link_session.compensation
async def link_as_before(ctx: ActionContext, command: LinkSession, output: SessionLinked | None) -> None:
    if output is not None:
        await link_back(ctx.db, output.session_id, output.casefile_id, output.before)


app = service_app(link_session)
