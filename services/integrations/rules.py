"""Transformation rules by name and version, in data_transform's own database."""

from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.failure import Conflict, NotFound
from contracts.integrations import RuleReference, TransformationRule
from events.database import one_at_a_time
from services.integrations.tables import StoredRule


async def store_rule(session: AsyncSession, rule: TransformationRule, now: datetime) -> None:
    """Store a version of a rule; the same again is nothing. Raises Conflict if it exists with other content."""
    content = rule.model_dump(mode="json", by_alias=True)
    await one_at_a_time(session, f"rule {rule.name}")
    present = await session.get(StoredRule, (rule.name, rule.version))
    if present is None:
        session.add(StoredRule(name=rule.name, version=rule.version, stored_at=now, rule=content))
    elif present.rule != content:
        raise Conflict(f"rule {rule.name}@{rule.version} exists with another content: store a new version")


async def find_rule(session: AsyncSession, reference: RuleReference) -> TransformationRule:
    """The rule; without a version the one that was stored last. Raises NotFound."""
    query = select(StoredRule).where(StoredRule.name == reference.name)
    if reference.version is not None:
        query = query.where(StoredRule.version == reference.version)
    found = (await session.exec(query.order_by(col(StoredRule.stored_at).desc()).limit(1))).first()
    if found is None:
        raise NotFound(f"no transformation rule {reference.name}@{reference.version or 'latest'}")
    return TransformationRule.model_validate(found.rule)
