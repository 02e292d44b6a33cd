"""Find who wrote, and which references mails claim."""

from contracts.casefiles import MailsProcessed, ProcessMails
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.rules import mail_findings
from services.casefiles.tables import DATABASE


@action("casefiles.process_mails", database=DATABASE, reads_only=True)
async def process_mails(ctx: ActionContext, command: ProcessMails) -> MailsProcessed:
    return MailsProcessed(findings=mail_findings(command.mails, more=command.more))


app = service_app(process_mails)
