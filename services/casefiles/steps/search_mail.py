"""Search the mailbox. Nothing is changed, so there is nothing to undo."""

from contracts.casefiles import MailFound, SearchMail
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.connectors import connectors
from services.casefiles.searching import search
from services.casefiles.tables import DATABASE


@action("casefiles.search_mail", database=DATABASE, external=True, resource=connectors, reads_only=True)
async def search_mail(ctx: ActionContext, command: SearchMail) -> MailFound:
    return await search(ctx, command.query, command.limit)


app = service_app(search_mail)
