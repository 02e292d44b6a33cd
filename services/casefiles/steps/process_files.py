"""Find which references tables book, and which files are there twice."""

from contracts.casefiles import FilesProcessed, ProcessFiles
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.rules import file_findings
from services.casefiles.tables import DATABASE


@action("casefiles.process_files", database=DATABASE, reads_only=True)
async def process_files(ctx: ActionContext, command: ProcessFiles) -> FilesProcessed:
    return FilesProcessed(findings=file_findings(command.files, command.sheets, more=command.more))


app = service_app(process_files)
