"""Fetch all records of an account, page by page, and keep them in place of those that were there."""

from typing import Any

from sqlalchemy import delete, insert
from sqlmodel import col

from contracts.claims import RecordsSynced, SyncRecords
from contracts.marketplace import RECORDS
from saga.action import ActionContext, action
from saga.service import service_app
from services.claims.marketplace_client import Tools, tools
from services.claims.store import token_of
from services.claims.tables import DATABASE, StoredRecord
from services.claims.telling import database_of

_ID_OF = {"products": "sku"} | {
    kind: f"{kind.removesuffix('s')}_id" for kind in RECORDS if kind != "products"
}


@action("claims.sync_records", database=DATABASE, external=True, resource=tools)
async def sync_records(ctx: ActionContext, command: SyncRecords) -> RecordsSynced:
    database = database_of(ctx)
    async with database.transaction() as session:
        token = await token_of(session, command.account_id)
    fetched = {kind: await _fetch(ctx, token, kind) for kind in RECORDS}
    async with database.transaction() as session:
        raw = await session.connection()
        await raw.execute(delete(StoredRecord).where(col(StoredRecord.account_id) == command.account_id))
        rows = [
            {"account_id": command.account_id, "kind": kind, "record_id": name, "content": content}
            for kind, records in fetched.items()
            for name, content in records.items()
        ]
        if rows:
            await raw.execute(insert(StoredRecord), rows)
    counts = {kind: len(records) for kind, records in fetched.items()}
    return RecordsSynced(records=sum(counts.values()), by_kind=counts)


async def _fetch(ctx: ActionContext, token: str, kind: str) -> dict[str, dict[str, Any]]:
    """All records of a kind, by id, in the form of their contract."""
    outside: Tools = ctx.resource
    found: dict[str, dict[str, Any]] = {}
    after: int | None = 0
    while after is not None:
        async with ctx.breaker("marketplace"):
            page = await outside.marketplace.page(token, kind, after)
        for item in page.items:
            record = RECORDS[kind].model_validate(item).model_dump(mode="json")
            found[str(record[_ID_OF[kind]])] = record
        after = page.next
    return found


app = service_app(sync_records)
