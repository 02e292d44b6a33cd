"""Transformation rules by name and version, in data_transform's own database."""

from datetime import datetime

from sqlalchemy import tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.failure import Conflict, NotFound
from contracts.integrations import RuleReference, TransformationRule
from events.database import one_at_a_time
from services.integrations.tables import StoredRule


async def store_rule(session: AsyncSession, rule: TransformationRule, now: datetime) -> bool:
    """Store a version of a rule; False if the same was there. Raises Conflict if it exists with other content."""
    content = rule.model_dump(mode="json", by_alias=True)
    await one_at_a_time(session, f"rule {rule.name}")
    present = await session.get(StoredRule, (rule.name, rule.version))
    if present is None:
        session.add(StoredRule(name=rule.name, version=rule.version, stored_at=now, rule=content))
    elif present.rule != content:
        raise Conflict(f"rule {rule.name}@{rule.version} exists with another content: store a new version")
    return present is None


async def find_rule(session: AsyncSession, reference: RuleReference) -> TransformationRule:
    """The rule; without a version the one that was stored last. Raises NotFound."""
    query = select(StoredRule).where(StoredRule.name == reference.name)
    if reference.version is not None:
        query = query.where(StoredRule.version == reference.version)
    found = (await session.exec(query.order_by(col(StoredRule.stored_at).desc()).limit(1))).first()
    if found is None:
        raise NotFound(f"no transformation rule {reference.name}@{reference.version or 'latest'}")
    return TransformationRule.model_validate(found.rule)


async def rules_after(
    session: AsyncSession, place: tuple[str, str], limit: int, name: str | None = None
) -> list[StoredRule]:
    """Versions of rules by name and version, after a place; of one rule if it is named."""
    at = tuple_(col(StoredRule.name), col(StoredRule.version))
    query = select(StoredRule).where(at > place)
    if name is not None:
        query = query.where(StoredRule.name == name)
    ordered = query.order_by(col(StoredRule.name), col(StoredRule.version)).limit(limit)
    return list((await session.exec(ordered)).all())
