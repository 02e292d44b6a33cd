"""Another definition as one step. Its undo undoes the child."""

from contracts.children import ChildEnded, RunChild
from saga.action import ActionContext, action
from saga.service import service_app
from services.integrations.children.ledger import Plan, PlannedChild
from services.integrations.children.running import run_children, undo_children
from services.integrations.children.tables import DATABASE


@action("integrations.child_saga", database=DATABASE, external=True)
async def child_saga(ctx: ActionContext, command: RunChild) -> ChildEnded:
    only = PlannedChild(command.definition, dict(command.input))
    _, children = await run_children(ctx, Plan(children=(only,), limit=1, needed=1, tolerated=0))
    return ChildEnded(saga_id=children[0].saga_id, output=children[0].output)


@child_saga.compensation
async def undo_child(ctx: ActionContext, command: RunChild, output: ChildEnded | None) -> None:
    await undo_children(ctx)


app = service_app(child_saga)
