"""A child saga for every branch. Its undo undoes them all."""

from contracts.children import Parallel, ParallelEnded
from saga.action import ActionContext, action
from saga.service import service_app
from services.integrations.children.ledger import PlannedChild
from services.integrations.children.running import errors_of, plan_of, run_children, undo_children
from services.integrations.children.tables import DATABASE


@action("integrations.parallel", database=DATABASE, external=True)
async def parallel(ctx: ActionContext, command: Parallel) -> ParallelEnded:
    planned = [PlannedChild(branch.definition, {}, name) for name, branch in command.branches.items()]
    family, children = await run_children(ctx, plan_of(command, planned))
    return ParallelEnded(
        total=family.total,
        succeeded=sum(child.state == "succeeded" for child in children),
        failed=family.failed,
        errors=await errors_of(ctx),
        results={child.name: child.output if child.state == "succeeded" else None for child in children},
    )


@parallel.compensation
async def undo_branches(ctx: ActionContext, command: Parallel, output: ParallelEnded | None) -> None:
    await undo_children(ctx)


app = service_app(parallel)
