"""A child saga for every item of a list. Its undo undoes them all."""

from pydantic_core import to_json

from contracts.children import ForEach, ForEachEnded
from saga.action import ActionContext, EffectUnknown, action
from saga.service import service_app
from services.integrations.children.ledger import PlannedChild
from services.integrations.children.running import (
    MAX_RESULT_BYTES,
    errors_of,
    plan_of,
    run_children,
    undo_children,
)
from services.integrations.children.tables import DATABASE


@action("integrations.for_each", database=DATABASE, external=True)
async def for_each(ctx: ActionContext, command: ForEach) -> ForEachEnded:
    planned = [
        PlannedChild(command.definition, {"item": item, "index": index})
        for index, item in enumerate(command.items)
    ]
    family, children = await run_children(ctx, plan_of(command, planned))
    results = [child.output if child.state == "succeeded" else None for child in children]
    if (size := len(to_json(results))) > MAX_RESULT_BYTES:
        raise EffectUnknown(
            "children.results_too_large",
            f"{size} bytes of results, expected at most {MAX_RESULT_BYTES}: let the body's output be smaller",
            retryable=False,
        )
    return ForEachEnded(
        total=family.total,
        succeeded=sum(child.state == "succeeded" for child in children),
        failed=family.failed,
        errors=await errors_of(ctx),
        results=results,
    )


@for_each.compensation
async def undo_each(ctx: ActionContext, command: ForEach, output: ForEachEnded | None) -> None:
    await undo_children(ctx)


app = service_app(for_each)
