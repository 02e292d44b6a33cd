"""Make sure that SAP has the customer, over HTTP, once per key; undo: withdraw it.

A customer that others need, too, stays: SAP flags it for deletion when the last who needs it has withdrawn.
"""

from contracts.chargeback_claims import Claim
from contracts.chargebacks import CreateSapCustomer, SapCustomerCreated
from contracts.ids import new_saga_id
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.chargebacks.names import normal
from services.chargebacks.ports import Sap, SapCustomer
from services.chargebacks.sap_client import BREAKER, sap_client

DATABASE = StepDatabase("sap_customer_creation")


@action("chargebacks.sap_customer_creation", database=DATABASE, external=True, resource=sap_client)
async def sap_customer_creation(ctx: ActionContext, command: CreateSapCustomer) -> SapCustomerCreated:
    sap: Sap = ctx.resource
    async with ctx.breaker(BREAKER):
        number, created = await sap.need_customer(ctx.key, customer_of(command.claim))
    return _stated(command, number, created=created)


@sap_customer_creation.rehearsal
async def create_nobody(ctx: ActionContext, command: CreateSapCustomer) -> SapCustomerCreated:
    """As SAP answers for a customer that it does not know."""
    return _stated(command, f"rehearsal-{new_saga_id()}", created=True)


def _stated(command: CreateSapCustomer, number: str, *, created: bool) -> SapCustomerCreated:
    return SapCustomerCreated(
        status="created" if created else "existing",
        customer_number=number,
        metadata=command.metadata | {"sap_customer": number},
    )


@sap_customer_creation.compensation
async def withdraw_customer(
    ctx: ActionContext, command: CreateSapCustomer, output: SapCustomerCreated | None
) -> None:
    sap: Sap = ctx.resource
    async with ctx.breaker(BREAKER):
        await sap.withdraw_customer(ctx.key)


def customer_of(claim: Claim) -> SapCustomer:
    """The customer by its strongest number; without any by its name."""
    numbers = (claim.customer_dea, claim.customer_hin, claim.covered_entity)
    external_id = next((number for number in numbers if number), None) or normal(claim.customer)
    return SapCustomer(external_id=external_id, name=claim.customer, address=claim.customer_address)


app = service_app(sap_customer_creation)
