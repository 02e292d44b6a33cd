"""Open a casefile; undo: remove it, unless others have begun to use it."""

from contracts.casefile_records import NewCasefile
from contracts.casefiles import CasefileCreated, CreateCasefile
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.acting import acting
from services.casefiles.records import open_casefile, take_back_casefile
from services.casefiles.tables import DATABASE

NOBODY = "local"
"""Whose a casefile is when nobody is named."""


@action("casefiles.create_casefile", database=DATABASE)
async def create_casefile(ctx: ActionContext, command: CreateCasefile) -> CasefileCreated:
    wanted = NewCasefile(title=command.title, description=command.description, grants=command.grants)
    opened = await open_casefile(
        ctx.db,
        wanted,
        owner=acting(ctx, command.user_id) or NOBODY,
        grants=command.grants,
        now=ctx.now(),
        made_by=(ctx.saga_id, ctx.step),
    )
    return CasefileCreated(
        casefile_id=opened.casefile_id, title=opened.title, owner=opened.owner, created_at=opened.created_at
    )


@create_casefile.compensation
async def remove_casefile(
    ctx: ActionContext, command: CreateCasefile, output: CasefileCreated | None
) -> None:
    await take_back_casefile(ctx.db, ctx.saga_id, ctx.step)


app = service_app(create_casefile)
