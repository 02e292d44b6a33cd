"""The last step of a child saga: its parent is told what came of it."""

from contracts.children import ChildReported, ReportChild
from saga.action import ActionContext, action
from saga.service import service_app
from services.integrations.children.running import report
from services.integrations.children.tables import DATABASE


@action("integrations.child_report", database=DATABASE, guard=False)
async def child_report(ctx: ActionContext, command: ReportChild) -> ChildReported:
    return ChildReported(told=await report(ctx, output=command.output))


app = service_app(child_report)
