"""List the drive's files. Nothing is changed, so there is nothing to undo."""

from contracts.casefiles import FilesListed, ListFiles
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.connectors import Connectors, connectors
from services.casefiles.tables import DATABASE


@action("casefiles.list_files", database=DATABASE, external=True, resource=connectors, reads_only=True)
async def list_files(ctx: ActionContext, command: ListFiles) -> FilesListed:
    connected: Connectors = ctx.resource
    files, more = await connected.drive.files(command.pattern, command.limit)
    return FilesListed(files=tuple(files), more=more)


app = service_app(list_files)
