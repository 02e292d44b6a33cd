"""The guard: one row per (saga, step) in the effect's own database; the first of effect, refusal, undo wins.

    intent   an external effect may be under way           (only for effects outside the database)
    shared   so it may, and more than one worker has tried  (likewise)
    effect   it happened; the output is kept, and given again to every later attempt
    refusal  it failed for good; a paused worker that wakes up later finds it and states the same
    undoing  it is being undone outside: what comes late does nothing, and a crash undoes again
    undone   it was undone, or must never happen any more: the tombstone of an undo that found nothing
    kept     a person has given its undo up: it is not undone any more

The row commits in one transaction with the effect. So a delivery that comes again, a crash between effect
and fact, or a zombie (a paused worker whose delivery went to another) finds what was decided and repeats
nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, DateTime, MetaData, String, Table, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.failure import Failure, SagaError
from events.clock import Clock
from events.database import Database, one_at_a_time

GUARD = Table(
    "saga_guard",
    MetaData(),
    Column("saga_id", String(64), primary_key=True),
    Column("step", String(64), primary_key=True),
    Column("state", String(8), nullable=False),
    Column("output", JSON),
    Column("failure", JSON),
    Column("at", DateTime(timezone=True), nullable=False),
)


class AlreadyUndone(SagaError):
    """The step was undone before its effect could happen: do nothing, state nothing."""

    code = "guard.already_undone"


class AlreadyRefused(SagaError):
    """The step was refused for good before: state that refusal again."""

    code = "guard.already_refused"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class AlreadyKept(SagaError):
    """A person has given the undo up before: do nothing, and state that."""

    code = "guard.already_kept"

    def __init__(self, by: str, reason: str) -> None:
        super().__init__(f"{by} has given the undo up: {reason}")
        self.by = by
        self.reason = reason


@dataclass(frozen=True, slots=True)
class EffectKey:
    """Which effect: the same for every attempt, delivery and replica."""

    saga_id: str
    step: str


_UNDER_WAY = ("intent", "shared")

type Output = dict[str, Any]
type Effect = Callable[[AsyncSession], Awaitable[Output]]
type Undo = Callable[[AsyncSession, Output | None], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Before an effect outside: its output if it is known, and whether an earlier try may have had one."""

    tried_before: bool = False
    output: Output | None = None


class Inbox:
    """The guard over one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def once(self, key: EffectKey, effect: Effect) -> Output:
        """Do the effect and keep its output in one transaction; a second time only gives the output again.

        Raises AlreadyUndone, AlreadyRefused or AlreadyKept if that came first.
        """
        async with self._database.transaction() as session:
            row = await _row(session, key)
            if row is not None:
                return _decided(key, row)
            output = await effect(session)
            await self._insert(session, key, "effect", output=output)
            return output

    async def intend(self, key: EffectKey) -> Intent:
        """Before an effect outside the database: note it, or give the output if it is known already.

        Raises AlreadyUndone, AlreadyRefused or AlreadyKept if that came first.
        """
        async with self._database.transaction() as session:
            row = await _row(session, key)
            if row is None:
                await self._insert(session, key, "intent")
                return Intent()
            if row.state not in _UNDER_WAY:
                return Intent(tried_before=True, output=_decided(key, row))
            if row.state == "intent":
                await self._set(session, key, "shared")
            return Intent(tried_before=True)

    async def conclude(self, key: EffectKey, output: Output) -> None:
        """After an effect outside the database.

        Raises AlreadyUndone or AlreadyRefused if that came in between: the undo takes the effect back.
        """
        async with self._database.transaction() as session:
            row = await _row(session, key)
            if row is not None and row.state not in _UNDER_WAY:
                _decided(key, row)
                return
            await self._set(session, key, "effect", output=output)

    async def refuse(self, key: EffectKey, failure: Failure) -> Failure | Output:
        """Note that the step has failed for good; the failure that stands, or the output if its effect has
        happened.

        That one try had no effect says nothing while another may have one: then the effect is unknown.
        Raises AlreadyUndone or AlreadyKept if an undo came first.
        """
        async with self._database.transaction() as session:
            row = await _row(session, key)
            if row is not None and row.state not in _UNDER_WAY:
                try:
                    return _decided(key, row)
                except AlreadyRefused as first:
                    return first.failure
            if row is not None and row.state == "shared":
                failure = failure.model_copy(update={"effect": "unknown"})
            noted = failure.model_dump(mode="json")
            if row is None:
                await self._insert(session, key, "refusal", failure=noted)
            else:
                await self._set(session, key, "refusal", failure=noted)
            return failure

    async def undo(self, key: EffectKey, undo: Undo) -> None:
        """Undo the effect, in one transaction with its tombstone; without an effect, only the tombstone.

        Raises AlreadyUndone if the step was refused, so that there never was nor will be an effect, AlreadyKept.
        """
        async with self._database.transaction() as session:
            row = await self._to_undo(session, key)
            if row is None:
                return
            await undo(session, row.output)
            await self._set(session, key, "undone", output=row.output)

    async def undo_outside(self, key: EffectKey, undo: Callable[[Output | None], Awaitable[None]]) -> None:
        """As `undo`, outside the database: who comes late finds that it is being undone, and a crash before
        the tombstone undoes again."""
        async with self._database.transaction() as session:
            row = await self._to_undo(session, key)
            if row is None:
                return
            await self._set(session, key, "undoing", output=row.output)
        await undo(row.output)
        async with self._database.transaction() as session:
            if (found := await _row(session, key)) is not None and found.state == "kept":
                raise _kept(found)
            await self._set(session, key, "undone", output=row.output)

    async def keep(self, key: EffectKey, *, by: str, reason: str) -> bool:
        """Give the undo up: what comes late does not undo any more. False if it was undone before.

        Raises AlreadyUndone if the step was refused, so that there is nothing to undo, AlreadyKept.
        """
        noted = {"by": by, "reason": reason}
        async with self._database.transaction() as session:
            row = await _row(session, key)
            if row is None:
                await self._insert(session, key, "kept", failure=noted)
                return True
            if row.state == "undone":
                return False
            _require_effect(key, row)
            await self._set(session, key, "kept", failure=noted)
            return True

    async def _to_undo(self, session: AsyncSession, key: EffectKey) -> Any:
        """The row of an effect that may have happened; None (and a tombstone) if there is nothing to undo."""
        row = await _row(session, key)
        if row is None:
            await self._insert(session, key, "undone")
            return None
        _require_effect(key, row)
        return None if row.state == "undone" else row

    async def _insert(self, session: AsyncSession, key: EffectKey, state: str, **values: Any) -> None:
        row = {"saga_id": key.saga_id, "step": key.step, "state": state, "at": self._clock(), **values}
        await (await session.connection()).execute(insert(GUARD).values(row))

    async def _set(self, session: AsyncSession, key: EffectKey, state: str, **values: Any) -> None:
        await (await session.connection()).execute(
            update(GUARD)
            .where(GUARD.c.saga_id == key.saga_id, GUARD.c.step == key.step)
            .values(state=state, at=self._clock(), **values)
        )


async def require_under_way(session: AsyncSession, key: EffectKey) -> None:
    """For an effect outside the guard's transaction that is one in the same database: call it first in there.

    What is done after it in this transaction is undone by an undo, if there is one. Raises AlreadyUndone,
    AlreadyRefused or AlreadyKept if that came before.
    """
    row = await _row(session, key)
    if row is not None and row.state not in _UNDER_WAY:
        _decided(key, row)


async def _row(session: AsyncSession, key: EffectKey) -> Any:
    # With concurrent writers the first transaction decides, and the others wait to see what.
    await one_at_a_time(session, f"guard {key.saga_id} {key.step}")
    query = select(GUARD).where(GUARD.c.saga_id == key.saga_id, GUARD.c.step == key.step)
    return (await (await session.connection()).execute(query)).one_or_none()


def _require_effect(key: EffectKey, row: Any) -> None:
    """Raises AlreadyUndone or AlreadyKept if there is nothing to undo, or it must not be undone."""
    if row.state == "kept":
        raise _kept(row)
    if row.state == "refusal" and row.failure["effect"] == "none":
        raise AlreadyUndone(f"step {key.step} of saga {key.saga_id} was refused, there is nothing to undo")


def _kept(row: Any) -> AlreadyKept:
    return AlreadyKept(row.failure["by"], row.failure["reason"])


def _decided(key: EffectKey, row: Any) -> Output:
    if row.state == "kept":
        raise _kept(row)
    if row.state in ("undone", "undoing"):
        raise AlreadyUndone(f"step {key.step} of saga {key.saga_id} was undone before")
    if row.state == "refusal":
        raise AlreadyRefused(Failure.model_validate(row.failure))
    return dict(row.output)
