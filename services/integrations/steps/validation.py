"""Check data by a JSON Schema and rules, and find every error."""

from contracts.integrations import Validate, Validated
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.integrations.bounded import bounded


@action("integrations.validation", resource=bounded, reads_only=True)
async def validation(ctx: ActionContext, command: Validate) -> Validated:
    found = await ctx.resource.call("validate", **command.model_dump(mode="json", by_alias=True))
    validated = Validated.model_validate(found)
    if not validated.valid and command.on_invalid == "fail":
        raise Refused("validation.failed", f"{validated.total} errors in the data", details=found)
    return validated


app = service_app(validation)
