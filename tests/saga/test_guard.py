"""The guard's promises, on a real database: the first of effect, refusal and undo wins."""

from typing import Any

import pytest

from contracts.failure import Failure
from events.clock import utc_now
from events.database import Database
from events.inbox import GUARD, AlreadyRefused, AlreadyUndone, EffectKey, Inbox

KEY = EffectKey("saga", "step")
REFUSAL = Failure(code="t.no", message="no", effect="none")
UNSURE = Failure(code="t.lost", message="lost", effect="unknown")


@pytest.fixture
async def inbox(database: Database) -> Inbox:
    await database.create([GUARD])
    return Inbox(database, utc_now)


class Counted:
    def __init__(self) -> None:
        self.effects = 0
        self.undone: list[Any] = []

    async def effect(self, session: object) -> dict[str, Any]:
        self.effects += 1
        return {"n": self.effects}

    async def undo(self, session: object, output: Any) -> None:
        self.undone.append(output)

    async def undo_outside(self, output: Any) -> None:
        self.undone.append(output)


async def test_an_effect_happens_once_and_gives_its_output_again(inbox: Inbox) -> None:
    counted = Counted()
    assert await inbox.once(KEY, counted.effect) == await inbox.once(KEY, counted.effect) == {"n": 1}


async def test_a_tombstone_keeps_a_late_effect_from_happening(inbox: Inbox) -> None:
    counted = Counted()
    await inbox.undo(KEY, counted.undo)
    with pytest.raises(AlreadyUndone):
        await inbox.once(KEY, counted.effect)
    assert (counted.effects, counted.undone) == (0, [])


async def test_a_refusal_keeps_a_late_effect_from_happening_and_needs_no_undo(inbox: Inbox) -> None:
    counted = Counted()
    assert await inbox.refuse(KEY, REFUSAL) is None
    with pytest.raises(AlreadyRefused):
        await inbox.once(KEY, counted.effect)
    with pytest.raises(AlreadyUndone):
        await inbox.undo(KEY, counted.undo)
    assert (counted.effects, counted.undone) == (0, [])


async def test_a_refusal_that_comes_after_the_effect_gives_its_output(inbox: Inbox) -> None:
    counted = Counted()
    await inbox.once(KEY, counted.effect)
    assert await inbox.refuse(KEY, REFUSAL) == {"n": 1}


async def test_an_undo_happens_once_and_knows_the_output(inbox: Inbox) -> None:
    counted = Counted()
    await inbox.once(KEY, counted.effect)
    await inbox.undo(KEY, counted.undo)
    await inbox.undo(KEY, counted.undo)
    assert counted.undone == [{"n": 1}]


async def test_an_effect_outside_whose_end_is_not_known_is_undone(inbox: Inbox) -> None:
    counted = Counted()
    assert not (await inbox.intend(KEY)).tried_before
    assert (await inbox.intend(KEY)).tried_before
    assert await inbox.refuse(KEY, UNSURE) is None
    await inbox.undo_outside(KEY, counted.undo_outside)
    assert counted.undone == [None]
    with pytest.raises(AlreadyUndone):
        await inbox.intend(KEY)


async def test_a_known_output_of_an_effect_outside_is_given_again(inbox: Inbox) -> None:
    await inbox.intend(KEY)
    await inbox.conclude(KEY, {"reference": "r"})
    assert (await inbox.intend(KEY)).output == {"reference": "r"}


async def test_a_failed_effect_leaves_nothing_behind(inbox: Inbox) -> None:
    async def broken(session: object) -> dict[str, Any]:
        raise RuntimeError("broken")

    counted = Counted()
    with pytest.raises(RuntimeError):
        await inbox.once(KEY, broken)
    assert await inbox.once(KEY, counted.effect) == {"n": 1}
