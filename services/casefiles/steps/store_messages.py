"""Search the mailbox and store what is found in the casefile; undo: remove it.

The mailbox is asked outside of any transaction, so that no other step waits for it. What it answers is stored
in one that begins by looking whether the step was undone meanwhile.
"""

from contracts.casefiles import MessagesStored, StoreMessages
from contracts.failure import InvalidContract
from events.inbox import EffectKey, require_under_way
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.connectors import connectors
from services.casefiles.evidence import casefile_at, place_of, store_evidence, take_back_evidence
from services.casefiles.searching import search
from services.casefiles.tables import DATABASE


@action("casefiles.store_messages", database=DATABASE, external=True, resource=connectors)
async def store_messages(ctx: ActionContext, command: StoreMessages) -> MessagesStored:
    if ctx.database is None:
        raise InvalidContract("store_messages needs its database")
    place = place_of(ctx, command.casefile_id, command.user_id)
    found = await search(ctx, command.query, command.limit)
    async with ctx.database.transaction() as session:
        await require_under_way(session, EffectKey(ctx.saga_id, ctx.step))
        casefile = await casefile_at(session, place, writing=True)
        await store_evidence(session, casefile, place, found.mails, ctx.now())
    return MessagesStored(casefile_id=casefile.casefile_id, stored=len(found.mails), more=found.more)


@store_messages.compensation
async def remove_messages(ctx: ActionContext, command: StoreMessages, output: MessagesStored | None) -> None:
    if ctx.database is None:
        raise InvalidContract("store_messages needs its database")
    async with ctx.database.transaction() as session:
        await take_back_evidence(session, ctx.saga_id, ctx.step)


app = service_app(store_messages)
