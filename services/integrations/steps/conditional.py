"""Choose a branch: the first whose condition holds. Later steps belong to it by their `when`."""

from contracts.integrations import BranchChosen, ChooseBranch
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.integrations.bounded import bounded


@action("integrations.conditional", resource=bounded, reads_only=True)
async def conditional(ctx: ActionContext, command: ChooseBranch) -> BranchChosen:
    branch = await ctx.resource.call("choose", **command.model_dump(mode="json", by_alias=True))
    if branch is None:
        names = ", ".join(branch.name for branch in command.branches)
        raise Refused("conditional.none", f"no condition holds and there is no otherwise: {names}")
    return BranchChosen(branch=branch)


app = service_app(conditional)
