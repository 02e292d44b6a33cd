"""The outbox: messages noted in the transaction of their effect, published after its commit (`outbox_relay`).

    message   what will be published; `number` is its place in the order of commits
    lane      the name under which this database publishes, and which relay has the turn until when

Either the effect and its messages are committed, or neither. On a server with concurrent writers the
transactions that add messages commit one at a time, because numbers must not overtake each other: so add
them last. A transaction that rolls back publishes nothing and uses up a number, which is no gap for anyone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic_core import from_json
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.events import EventMessage
from contracts.failure import Conflict
from contracts.ids import new_saga_id
from contracts.subjects import Subjects
from events.clock import Clock
from events.columns import UtcText
from events.database import Database, one_at_a_time
from events.publish import Outgoing

_METADATA = MetaData()
MESSAGES = Table(
    "saga_outbox",
    _METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", String(256), nullable=False, unique=True),
    Column("subject", String(512), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("headers", JSON),
    Column("added_at", UtcText, nullable=False),
    Column("sent_at", UtcText),
    Column("refused", Text),
    # A number is never given twice, also when the newest rows are gone.
    sqlite_autoincrement=True,
)
_UNSENT = MESSAGES.c.sent_at.is_(None)
Index("saga_outbox_unsent", MESSAGES.c.number, sqlite_where=_UNSENT, postgresql_where=_UNSENT)
LANE = Table(
    "saga_outbox_lane",
    _METADATA,
    Column("only", Integer, primary_key=True),
    Column("lane", String(64), nullable=False),
    Column("holder", String(64), nullable=False),
    Column("until", UtcText, nullable=False),
)
_BATCH = 100
_PURGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """A committed message that is not known to be published.

    `headers` is None for an event. Otherwise the message carries its own fence, or is one that may be
    repeated: it goes out alone, to whatever stream listens.
    """

    number: int
    id: str
    subject: str
    payload: bytes
    headers: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The relay's turn: what to publish next under which name; `wait_s` if another relay has the turn."""

    lane: str = ""
    unsent: Sequence[Unsent] = ()
    wait_s: float | None = None


class Outbox:
    """The outbox of one database. `added` is set by every commit that has added something."""

    def __init__(self, database: Database, subjects: Subjects, clock: Clock, *, source: str) -> None:
        self._database = database
        self._subjects = subjects
        self._clock = clock
        self._source = source
        self.added = asyncio.Event()

    async def create(self) -> None:
        """Create the tables if there are none."""

        async def name_the_lane(session: AsyncSession) -> None:
            row = {"only": 1, "lane": new_saga_id(), "holder": "", "until": self._clock()}
            await (await session.connection()).execute(insert(LANE).values(row))

        await self._database.create([MESSAGES, LANE], name_the_lane)

    async def add_event(self, session: AsyncSession, message: EventMessage) -> None:
        """Publish an event if and when this transaction commits; once per id.

        Raises InvalidContract, or Conflict if the id was used for something else.
        """
        subject = self._subjects.event(message.type, message.subject)
        await self._add(session, message.id, subject, message.encode(), None)

    async def add_message(self, session: AsyncSession, id: str, message: Outgoing) -> None:
        """As `add_event`, for a message that carries its own fence, or may be repeated."""
        await self._add(session, id, message.subject, message.payload, dict(message.headers))

    @property
    def source(self) -> str:
        return self._source

    def now(self) -> datetime:
        return self._clock()

    async def _add(
        self, session: AsyncSession, id: str, subject: str, payload: bytes, headers: dict[str, str] | None
    ) -> None:
        await one_at_a_time(session, "outbox")
        connection = await session.connection()
        known = (
            await connection.execute(select(MESSAGES.c.payload).where(MESSAGES.c.id == id))
        ).scalar_one_or_none()
        if known is not None:
            if not same_statement(known, payload):
                raise Conflict(f"message {id} was added before, with another content")
            return
        row = {"id": id, "subject": subject, "payload": payload, "added_at": self._clock()}
        if headers is not None:
            row["headers"] = headers
        await connection.execute(insert(MESSAGES).values(row))
        if not event.contains(session.sync_session, "after_commit", self._committed):
            event.listen(session.sync_session, "after_commit", self._committed)

    def _committed(self, _: object) -> None:
        self.added.set()

    async def anything_unsent(self) -> bool:
        async with self._database.reading() as connection:
            return (
                await connection.execute(select(MESSAGES.c.number).where(_UNSENT).limit(1))
            ).first() is not None

    async def take_turn(
        self, holder: str, lease_s: float, sent: Sequence[int] = (), refused: Mapping[int, str] | None = None
    ) -> Turn:
        """Note what was sent (and what was refused for good), then what is next.

        The turn is kept for `lease_s` seconds if there is more to send, else given up.
        """
        async with self._database.transaction() as session:
            connection, now = await session.connection(), self._clock()
            await _note(connection, now, sent, refused or {})
            row = (await connection.execute(select(LANE).with_for_update())).one()
            if row.holder != holder and row.until > now:
                return Turn(wait_s=(row.until - now).total_seconds())
            unsent = await _unsent(connection)
            until = now + timedelta(seconds=lease_s) if unsent else now
            if row.holder != holder or row.until != until:
                await connection.execute(update(LANE).values(holder=holder, until=until))
            return Turn(lane=row.lane, unsent=unsent)

    async def believe(self, number: int, id: str) -> bool:
        """Note that everything up to a number was published, as the stream says of this lane.

        False if the database does not know that message: it was set back to an earlier state (a backup), so
        its numbers mean others than those of the stream. It goes on under a new name.
        """
        async with self._database.transaction() as session:
            connection = await session.connection()
            known = await connection.execute(select(MESSAGES.c.id).where(MESSAGES.c.number == number))
            if known.scalar_one_or_none() != id:
                await connection.execute(update(LANE).values(lane=new_saga_id()))
                return False
            said = update(MESSAGES).where(MESSAGES.c.number <= number, _UNSENT).values(sent_at=self._clock())
            await connection.execute(said)
            return True

    async def purge(self, keep_s: float) -> int:
        """Forget messages that were sent more than `keep_s` seconds ago, a thousand at most; how many."""
        before = self._clock() - timedelta(seconds=keep_s)
        async with self._database.transaction() as session:
            connection = await session.connection()
            # The newest one stays: it is what the stream's word is compared with.
            newest = select(func.max(MESSAGES.c.number)).where(MESSAGES.c.headers.is_(None)).scalar_subquery()
            old = (
                select(MESSAGES.c.number)
                .where(MESSAGES.c.sent_at < before, MESSAGES.c.refused.is_(None), MESSAGES.c.number < newest)
                .order_by(MESSAGES.c.number)
                .limit(_PURGE)
            )
            gone = await connection.execute(delete(MESSAGES).where(MESSAGES.c.number.in_(old)))
            return int(gone.rowcount)


def same_statement(one: bytes, other: bytes) -> bool:
    """Whether two messages say the same, whenever and by whomever it was said."""
    a, b = from_json(one), from_json(other)
    return all(a.get(part) == b.get(part) for part in ("type", "definition", "data"))


async def _note(
    connection: AsyncConnection, now: datetime, sent: Sequence[int], refused: Mapping[int, str]
) -> None:
    if sent:
        await connection.execute(update(MESSAGES).where(MESSAGES.c.number.in_(sent)).values(sent_at=now))
    for number, reason in refused.items():
        await connection.execute(
            update(MESSAGES).where(MESSAGES.c.number == number).values(sent_at=now, refused=reason)
        )


async def _unsent(connection: AsyncConnection) -> list[Unsent]:
    columns = (MESSAGES.c.number, MESSAGES.c.id, MESSAGES.c.subject, MESSAGES.c.payload, MESSAGES.c.headers)
    query = select(*columns).where(_UNSENT).order_by(MESSAGES.c.number).limit(_BATCH)
    return [Unsent(**row._mapping) for row in await connection.execute(query)]
