"""Put data through operations, given in the step or stored as a rule."""

from pydantic import TypeAdapter

from contracts.failure import NotFound
from contracts.integrations import DataTransformed, Operation, TransformData
from saga.action import ActionContext, Refused, StepDatabase, action
from saga.service import service_app
from services.integrations.bounded import bounded
from services.integrations.rules import find_rule
from services.integrations.tables import StoredRule

DATABASE = StepDatabase("data_transform", tables=(StoredRule,))
_OPERATIONS: TypeAdapter[tuple[Operation, ...]] = TypeAdapter(tuple[Operation, ...])


@action("integrations.data_transform", database=DATABASE, resource=bounded, reads_only=True)
async def data_transform(ctx: ActionContext, command: TransformData) -> DataTransformed:
    operations, ref = command.operations, None
    if command.rule is not None:
        try:
            rule = await find_rule(ctx.db, command.rule)
        except NotFound as error:
            raise Refused("transform.no_rule", str(error)) from error
        operations, ref = rule.operations, f"{rule.name}@{rule.version}"
    told = _OPERATIONS.dump_python(operations, mode="json", by_alias=True)
    result = await ctx.resource.call("transform", data=command.data, operations=told)
    return DataTransformed(result=result, rule=ref)


app = service_app(data_transform)
