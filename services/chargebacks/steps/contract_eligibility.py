"""Check the claim against its contract: in force, supplied by that wholesaler, products and prices line by line."""

from collections.abc import Mapping
from typing import cast

from sqlmodel import col, select

from contracts.chargeback_claims import Claim
from contracts.chargebacks import CheckContract, ContractChecked
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.chargebacks.eligibility import (
    Kind,
    Product,
    Terms,
    check_contract,
    federal_due,
)
from services.chargebacks.findings import status_of
from services.chargebacks.seeds import sign_contracts
from services.chargebacks.tables import Contract, ContractPrice, ContractWholesaler, ProductRow

DATABASE = StepDatabase(
    "contract_eligibility",
    tables=(Contract, ContractWholesaler, ContractPrice, ProductRow),
    seed=sign_contracts,
)


@action("chargebacks.contract_eligibility", database=DATABASE, reads_only=True)
async def contract_eligibility(ctx: ActionContext, command: CheckContract) -> ContractChecked:
    claim = command.claim
    terms, products = await _terms(ctx, claim.contract), await _products(ctx, claim)
    checked = check_contract(claim, terms, products)
    status = status_of(checked.findings)
    worth_asking = terms is not None and status != "denied"
    return ContractChecked(
        status=status,
        kind=terms.kind if terms else None,
        gpo=terms.gpo if terms else None,
        roster_due=worth_asking and terms is not None and terms.gpo is not None,
        federal_due=worth_asking and terms is not None and federal_due(claim, terms.kind, products),
        lines=checked.lines,
        eligible=checked.eligible,
        findings=checked.findings,
        metadata=command.metadata | ({"contract_kind": terms.kind} if terms else {}),
    )


async def _terms(ctx: ActionContext, number: str) -> Terms | None:
    contract = await ctx.db.get(Contract, number)
    if contract is None:
        return None
    suppliers = select(ContractWholesaler.dea).where(ContractWholesaler.contract == number)
    prices = select(ContractPrice).where(ContractPrice.contract == number)
    return Terms(
        number=number,
        kind=cast(Kind, contract.kind),
        gpo=contract.gpo,
        valid_from=contract.valid_from,
        valid_to=contract.valid_to,
        wholesalers=frozenset((await ctx.db.exec(suppliers)).all()),
        prices={row.ndc: row.price for row in (await ctx.db.exec(prices)).all()},
    )


async def _products(ctx: ActionContext, claim: Claim) -> Mapping[str, Product]:
    query = select(ProductRow).where(col(ProductRow.ndc).in_({line.ndc for line in claim.lines}))
    found = (await ctx.db.exec(query)).all()
    return {row.ndc: Product(wac=row.wac, controlled=row.controlled) for row in found}


app = service_app(contract_eligibility)
