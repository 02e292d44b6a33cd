"""Read CSV and XLSX files as tables. Nothing is changed, so there is nothing to undo."""

from contracts.casefiles import ReadSheets, SheetsRead
from saga.action import ActionContext, action
from saga.service import service_app
from services.casefiles.connectors import Connectors, connectors
from services.casefiles.tables import DATABASE


@action("casefiles.read_sheets", database=DATABASE, external=True, resource=connectors, reads_only=True)
async def read_sheets(ctx: ActionContext, command: ReadSheets) -> SheetsRead:
    connected: Connectors = ctx.resource
    return SheetsRead(sheets=tuple(await connected.sheets.read(command.patterns, command.max_rows)))


app = service_app(read_sheets)
