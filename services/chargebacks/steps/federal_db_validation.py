"""Check the customer's registration in the federal database, over HTTP: by its 340B id, or by its DEA number.

The question has no effect, so it is asked again as often as it takes; the definition says for how long.
"""

from contracts.chargebacks import FederalValidated, Finding, ValidateFederal
from saga.action import ActionContext, action
from saga.service import service_app
from services.chargebacks.federal_client import federal_client
from services.chargebacks.findings import finding, status_of
from services.chargebacks.membership import check_registration
from services.chargebacks.ports import FederalDatabase, Registration


@action("chargebacks.federal_db_validation", resource=federal_client, reads_only=True)
async def federal_db_validation(ctx: ActionContext, command: ValidateFederal) -> FederalValidated:
    claim = command.claim
    number = claim.covered_entity if command.kind == "340b" else claim.customer_dea
    if number is None:
        wanted = "a 340B id" if command.kind == "340b" else "a DEA number"
        missing = finding("federal.no_number", "review", f"the claim does not give {wanted} of the customer")
        return _stated(command, None, (missing,))
    found = await _looked_up(ctx, command.kind, number)
    return _stated(command, found, tuple(check_registration(claim, found)))


async def _looked_up(ctx: ActionContext, kind: str, number: str) -> Registration | None:
    database: FederalDatabase = ctx.resource
    async with ctx.breaker("federal-database"):
        return await (database.covered_entity if kind == "340b" else database.registration)(number)


def _stated(
    command: ValidateFederal, found: Registration | None, findings: tuple[Finding, ...]
) -> FederalValidated:
    return FederalValidated(
        status=status_of(findings),
        registration=found.state if found else None,
        findings=findings,
        metadata=command.metadata | ({"federal_number": found.number} if found else {}),
    )


app = service_app(federal_db_validation)
