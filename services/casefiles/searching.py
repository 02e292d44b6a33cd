"""Searching the mailbox for a step: the query is read first, and a mailbox that is down has its breaker."""

from contracts.casefiles import MailFound
from contracts.failure import InvalidContract
from saga.action import ActionContext, Refused
from services.casefiles.connectors import Connectors
from services.casefiles.mail_queries import parse_query

BREAKER = "casefiles.mailbox"


async def search(ctx: ActionContext, query: str, limit: int) -> MailFound:
    """What the mailbox has. Raises Refused or Unavailable."""
    connected: Connectors = ctx.resource
    try:
        wanted = parse_query(query)
    except InvalidContract as error:
        raise Refused("mailbox.query", str(error)) from error
    async with ctx.breaker(BREAKER):
        mails, more = await connected.mailbox.search(wanted, limit)
    return MailFound(mails=tuple(mails), more=more)
