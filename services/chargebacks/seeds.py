"""Contracts and rosters that the services start with: the shipped ones. Rows that are there already stay."""

from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.chargeback_claims import normal_ndc
from services.chargebacks.tables import Contract, ContractPrice, ContractWholesaler, ProductRow, RosterMember


@lru_cache(maxsize=2)
def shipped(name: str) -> dict[str, Any]:
    """The content of a shipped file, `contracts` or `rosters`."""
    content: dict[str, Any] = yaml.safe_load(
        (files("services.chargebacks") / "data" / f"{name}.yaml").read_text()
    )
    return content


async def sign_contracts(session: AsyncSession) -> None:
    """Products, contracts, their suppliers and their prices."""
    if (await session.exec(select(Contract.number).limit(1))).first() is not None:
        return
    data = shipped("contracts")
    for ndc, product in data["products"].items():
        session.add(
            ProductRow(
                ndc=normal_ndc(ndc),
                name=product["name"],
                wac=Decimal(product["wac"]),
                controlled=product.get("controlled", False),
            )
        )
    for number, contract in data["contracts"].items():
        session.add(
            Contract(
                number=number,
                kind=contract["kind"],
                gpo=contract.get("gpo"),
                valid_from=contract["valid_from"],
                valid_to=contract["valid_to"],
            )
        )
        for wholesaler in contract["wholesalers"]:
            session.add(ContractWholesaler(contract=number, dea=data["wholesalers"][wholesaler]["dea"]))
        for ndc, price in contract["prices"].items():
            session.add(ContractPrice(contract=number, ndc=normal_ndc(ndc), price=Decimal(price)))


async def enlist_members(session: AsyncSession) -> None:
    """The members of the purchasing organizations."""
    if (await session.exec(select(RosterMember.number).limit(1))).first() is not None:
        return
    for gpo, members in shipped("rosters").items():
        for member in members:
            session.add(RosterMember(gpo=gpo, **{"joined": date(2024, 1, 1)} | member))
