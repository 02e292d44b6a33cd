"""Enter another phase, by the fact that starts its saga. Who was first with the same entry has done it for all."""

from pydantic import ValidationError

from contracts.claims import OpenPhase, PhaseOpened
from contracts.facts import explain
from contracts.phases import phase_of
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.claims.opening import open_saga


@action("claims.open_phase")
async def open_phase(ctx: ActionContext, command: OpenPhase) -> PhaseOpened:
    try:
        entry = phase_of(command.phase).entry.model_validate(command.entry)
    except ValidationError as error:
        raise Refused("phase.entry_invalid", explain(error)) from error
    return await open_saga(ctx, command.phase, entry)


app = service_app(open_phase)
