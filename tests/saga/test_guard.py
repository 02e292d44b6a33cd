"""The guard's promises, on a real database: the first of effect, refusal and undo wins."""

from typing import Any

import pytest

from contracts.failure import Failure
from events.clock import utc_now
from events.database import Database
from events.inbox import GUARD, AlreadyKept, AlreadyRefused, AlreadyUndone, EffectKey, Inbox

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
    assert await inbox.refuse(KEY, REFUSAL) == REFUSAL
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
    assert await inbox.refuse(KEY, UNSURE) == UNSURE
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


async def test_a_paused_worker_that_concludes_after_a_failure_of_unknown_effect_states_that_failure(
    inbox: Inbox,
) -> None:
    await inbox.intend(KEY)
    await inbox.intend(KEY)
    assert await inbox.refuse(KEY, UNSURE) == UNSURE
    with pytest.raises(AlreadyRefused) as told:
        await inbox.conclude(KEY, {"reference": "r"})
    assert told.value.failure == UNSURE
    counted = Counted()
    await inbox.undo_outside(KEY, counted.undo_outside)
    assert counted.undone == [None]


async def test_a_failure_without_effect_says_nothing_while_another_worker_is_at_it(inbox: Inbox) -> None:
    await inbox.intend(KEY)
    await inbox.intend(KEY)
    stands = await inbox.refuse(KEY, REFUSAL)
    assert isinstance(stands, Failure)
    assert (stands.code, stands.effect) == (REFUSAL.code, "unknown")


async def test_the_first_refusal_stands(inbox: Inbox) -> None:
    await inbox.refuse(KEY, UNSURE)
    assert await inbox.refuse(KEY, REFUSAL) == UNSURE


async def test_an_undo_outside_leaves_its_tombstone_before_it_is_done(inbox: Inbox) -> None:
    await inbox.intend(KEY)

    async def undo(output: Any) -> None:
        with pytest.raises(AlreadyUndone):
            await inbox.conclude(KEY, {"reference": "r"})
        with pytest.raises(AlreadyUndone):
            await inbox.refuse(KEY, REFUSAL)

    await inbox.undo_outside(KEY, undo)


async def test_an_undo_outside_that_was_cut_off_is_done_again(inbox: Inbox) -> None:
    async def cut_off(output: Any) -> None:
        raise RuntimeError("killed")

    counted = Counted()
    await inbox.intend(KEY)
    await inbox.conclude(KEY, {"reference": "r"})
    with pytest.raises(RuntimeError):
        await inbox.undo_outside(KEY, cut_off)
    await inbox.undo_outside(KEY, counted.undo_outside)
    await inbox.undo_outside(KEY, counted.undo_outside)
    assert counted.undone == [{"reference": "r"}]


async def test_an_undo_that_was_given_up_does_not_happen_any_more(inbox: Inbox) -> None:
    counted = Counted()
    await inbox.once(KEY, counted.effect)
    assert await inbox.keep(KEY, by="ada", reason="settled by hand")
    for late in (
        inbox.undo(KEY, counted.undo),
        inbox.undo_outside(KEY, counted.undo_outside),
        inbox.once(KEY, counted.effect),
        inbox.intend(KEY),
        inbox.refuse(KEY, UNSURE),
        inbox.keep(KEY, by="bob", reason="too"),
    ):
        with pytest.raises(AlreadyKept) as caught:
            await late
        assert (caught.value.by, caught.value.reason) == ("ada", "settled by hand")
    assert (counted.effects, counted.undone) == (1, [])


async def test_what_was_undone_cannot_be_kept_any_more(inbox: Inbox) -> None:
    counted = Counted()
    await inbox.once(KEY, counted.effect)
    await inbox.undo(KEY, counted.undo)
    assert not await inbox.keep(KEY, by="ada", reason="too late")


async def test_what_never_had_an_effect_needs_no_keeping(inbox: Inbox) -> None:
    await inbox.refuse(KEY, REFUSAL)
    with pytest.raises(AlreadyUndone):
        await inbox.keep(KEY, by="ada", reason="why not")


async def test_an_undo_outside_hears_that_it_was_given_up_meanwhile(inbox: Inbox) -> None:
    async def given_up_meanwhile(output: Any) -> None:
        assert await inbox.keep(KEY, by="ada", reason="settled by hand")

    await inbox.intend(KEY)
    await inbox.conclude(KEY, {"n": 1})
    with pytest.raises(AlreadyKept):
        await inbox.undo_outside(KEY, given_up_meanwhile)
