"""The first step of a child saga. Since it is undone last, its undo knows that nothing is left of the child."""

from contracts.children import BeginChild, ChildBegun
from saga.action import ActionContext, action
from saga.service import service_app
from services.integrations.children.running import failure_of, report
from services.integrations.children.tables import DATABASE


@action("integrations.child_begin", database=DATABASE, guard=False)
async def child_begin(ctx: ActionContext, command: BeginChild) -> ChildBegun:
    return ChildBegun()


@child_begin.compensation
async def child_is_undone(ctx: ActionContext, command: BeginChild, output: ChildBegun | None) -> None:
    await report(ctx, failure=failure_of(await ctx.sagas.state(ctx.saga_id)))


app = service_app(child_begin)
