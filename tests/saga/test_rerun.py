"""Changed handlers on a recorded saga: what they make of it is told, and nothing of what they do stays."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from contracts.definition import SagaDefinition, Step
from contracts.events import Event
from contracts.facts import Recorded
from contracts.failure import InvalidContract, NotFound, Unusable
from contracts.ids import new_saga_id
from contracts.policies import Policy
from contracts.retries import FixedRetry
from contracts.subjects import SAGA_STEP
from events.database import Database, make_engine
from saga.action import Action, ActionContext, Refused, StepDatabase, Unavailable, action
from saga.breaker import BreakerOpen
from saga.divergence import Divergence, differences
from saga.imagine import recorded_runs
from saga.rerun.again import imagine_again
from saga.rerun.ground import Ground
from saga.rerun.modules import load_actions
from saga.rerun.trying import settled
from saga.simulate.stream import simulated_fact
from saga.whatif import KEPT, Verdict

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CARRIED: dict[str, Any] = {"input": {}, "steps": {}}
FAILURE = {"code": "shop.no", "message": "no", "effect": "none"}
SHOP = SagaDefinition(
    name="shop",
    steps=(
        Step(name="take", action="shop.take", input={"sum": "${input.n}"}),
        Step(name="pay", action="shop.pay", after=("take",), input={"sum": "${steps.take.sum}"}),
        Step(name="tell", action="shop.tell", after=("pay",), input={"sum": "${steps.pay.sum}"}),
    ),
)


class Sum(BaseModel):
    sum: int


class Paid(BaseModel):
    sum: int
    id: str = ""
    at: datetime | None = None


class Bill(SQLModel, table=True):
    __tablename__ = "rerun_bills"

    key: str = Field(primary_key=True)


class Billed(Event, name="shop.billed"):
    key: str


async def one_bill(session: AsyncSession) -> None:
    session.add(Bill(key="first"))


DATABASE = StepDatabase("rerun", tables=(Bill,), seed=one_bill)


def told(*said: tuple[str, str, dict[str, Any]]) -> list[Recorded]:
    facts = []
    for sequence, (name, kind, data) in enumerate(said, 1):
        changes = {"data": data, "time": BEGAN + timedelta(seconds=sequence), "directives": '{"user":"ann"}'}
        facts.append(Recorded(sequence, simulated_fact(SHOP.ref, name, kind).model_copy(update=changes)))
    return facts


def done(step: str, **output: Any) -> tuple[str, str, dict[str, Any]]:
    return step, "completed", {"output": output, "carried": CARRIED}


START = (SAGA_STEP, "started", {"input": {"n": 10}})
DONE = told(
    START, done("take", sum=10), done("pay", sum=10, id="p-1", at="2026-03-01T12:00:03Z"), done("tell", sum=1)
)
UNDONE = told(
    START,
    done("take", sum=10),
    ("pay", "failed", {"failure": FAILURE, "attempt": 1}),
    (SAGA_STEP, "aborted", {"cause": "step", "step": "pay", "failure": FAILURE}),
)

type Does = Callable[[ActionContext, Sum], Awaitable[Paid]]


def changed(name: str, does: Does, **options: Any) -> Action:
    @action(f"shop.{name}", **options)
    async def handler(ctx: ActionContext, command: Sum) -> Paid:
        return await does(ctx, command)

    return handler


async def double(ctx: ActionContext, command: Sum) -> Paid:
    return Paid(sum=command.sum * 2, id="p-1", at=BEGAN + timedelta(seconds=3))


async def refuse(ctx: ActionContext, command: Sum) -> Paid:
    raise Refused("shop.dear", f"{command.sum} is too much")


@asynccontextmanager
async def ground(*actions: Action, **options: Any) -> AsyncIterator[Ground]:
    async with Ground({one.name: one for one in actions}, environment={}, **options) as opened:
        yield opened


async def found(
    *actions: Action, facts: list[Recorded] = DONE, new: SagaDefinition = SHOP, **options: Any
) -> list[tuple[str, str, str, str]]:
    """How the saga differs when these actions are done again."""
    async with ground(*actions, **options) as opened:
        runs = recorded_runs(SHOP, facts)
        again = await imagine_again(new, runs, facts, (), opened)
        return [
            (one.step, one.what, one.was, one.would)
            for one in differences(SHOP, new, facts, runs, again.imagined)
        ]


async def reason(*actions: Action, **options: Any) -> str:
    """Why the only thing that is told cannot be known."""
    ((_, what, _, would),) = await found(*actions, **options)
    assert what == "unknown"
    return would


async def test_another_output_is_told_and_flows_on_to_what_is_recorded() -> None:
    assert await found(changed("take", double)) == [
        ("take", "output/at", "None", "'2026-03-01T12:00:03Z'"),
        ("take", "output/id", "None", "'p-1'"),
        ("take", "output/sum", "10", "20"),
        ("pay", "input/sum", "10", "20"),
    ]


async def test_what_follows_is_done_again_with_its_new_input() -> None:
    rows = await found(changed("take", double), changed("pay", double))
    assert [row for row in rows if row[0] != "take"] == [
        ("pay", "input/sum", "10", "20"),
        ("pay", "output/sum", "10", "40"),
        ("tell", "input/sum", "10", "40"),
    ]


async def test_a_refusal_turns_the_saga_round_and_says_its_code() -> None:
    assert await found(changed("pay", refuse)) == [
        ("pay", "end", "completed", "failed (shop.dear)"),
        ("tell", "end", "completed", "never ran"),
        (SAGA_STEP, "status", "completed", "compensated"),
    ]
    assert await found(changed("pay", refuse), facts=UNDONE) == [
        ("pay", "end", "failed (shop.no)", "failed (shop.dear)")
    ]


async def test_a_refusal_that_is_mended_lets_the_saga_go_on_as_far_as_is_known() -> None:
    assert await found(changed("pay", double), facts=UNDONE) == [
        ("pay", "end", "failed (shop.no)", "completed"),
        ("tell", "end", "never ran", "completed"),
        ("tell", "unknown", "never ran", "nothing is recorded of what it does"),
        (SAGA_STEP, "status", "compensated", "completed"),
    ]
    both = await found(changed("pay", double), changed("tell", double), facts=UNDONE)
    assert "unknown" not in {row[1] for row in both}


async def test_what_is_made_anew_each_time_is_no_difference() -> None:
    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        return Paid(sum=command.sum, id=new_saga_id(), at=ctx.now())

    assert await found(changed("pay", pay)) == []


async def test_a_handler_sees_the_recorded_saga_at_the_time_of_its_step() -> None:
    seen: list[Any] = []

    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        seen.append((ctx.key, ctx.attempt, ctx.user_id, ctx.now(), command.sum))
        return await double(ctx, command)

    await found(changed("pay", pay))
    key, at = f"{DONE[0].fact.sagaid}.pay", BEGAN + timedelta(seconds=3)
    assert seen == [(key, 1, "ann", at, 10), (key, 1, "ann", at + timedelta(seconds=1), 10)]


async def test_what_a_handler_writes_is_gone_before_the_next_and_what_it_emits_is_not_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What services use is never meant.
    monkeypatch.setenv("SAGA_DATABASE_URL", "sqlite+aiosqlite:////nowhere/services.db")
    seen: list[list[str]] = []

    async def bill(ctx: ActionContext, command: Sum) -> Paid:
        seen.append([one.key for one in (await ctx.db.exec(select(Bill))).all()])
        ctx.db.add(Bill(key=ctx.key))
        await ctx.emit(Billed(key=ctx.key))
        return await double(ctx, command)

    await found(changed("pay", bill, database=DATABASE, emits=(Billed,)))
    assert seen == [["first"], ["first"]]


async def test_a_copy_of_a_database_is_read_and_stays_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/copy-{{name}}.db"
    copy = Database(make_engine(url.format(name="rerun")))
    await copy.create([Bill.__table__])  # type: ignore[attr-defined]
    async with copy.transaction() as session:
        session.add(Bill(key="of yesterday"))

    async def bill(ctx: ActionContext, command: Sum) -> Paid:
        known = (await ctx.db.exec(select(Bill))).all()
        ctx.db.add(Bill(key=ctx.key))
        return Paid(sum=10, id=known[0].key, at=BEGAN + timedelta(seconds=3))

    assert await found(changed("pay", bill, database=DATABASE), database_url=url) == [
        ("pay", "output/id", "'p-1'", "'of yesterday'")
    ]
    emits = changed("pay", bill, database=DATABASE, emits=(Billed,))
    assert "the database of rerun that was given has no saga_outbox" in await reason(emits, database_url=url)
    async with copy.transaction() as session:
        assert [one.key for one in (await session.exec(select(Bill))).all()] == ["of yesterday"]
    await copy.close()


@pytest.mark.parametrize(
    "options", [{"external": True}, {"database": DATABASE, "guard": False}], ids=["external", "unguarded"]
)
async def test_what_acts_outside_of_its_transaction_is_not_run_but_rehearsed(options: dict[str, Any]) -> None:
    acted: list[str] = []

    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        acted.append(ctx.key)
        return await double(ctx, command)

    outside = changed("pay", pay, **options)
    assert await reason(outside) == "it acts outside of its transaction, and has no rehearsal"
    outside.rehearsal(double)
    assert await found(outside) == [("pay", "output/sum", "10", "20"), ("tell", "input/sum", "10", "20")]
    assert not acted


async def test_nobody_gets_through_a_breaker_not_even_who_knows_what_to_do_then() -> None:
    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        async with ctx.breaker("operator.mpesa"):
            return await double(ctx, command)

    async def caught(ctx: ActionContext, command: Sum) -> Paid:
        try:
            return await pay(ctx, command)
        except BreakerOpen:
            return Paid(sum=0)

    outside = "it goes outside, through the breaker operator.mpesa"
    assert await reason(changed("pay", pay)) == outside
    assert await reason(changed("pay", caught)) == outside
    by_policy = changed("pay", double, policy=Policy(breaker="operator.mpesa"))
    assert await reason(by_policy) == outside


async def test_other_sagas_stay_as_they_are() -> None:
    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        await ctx.sagas.cancel("other", by="me", reason="so")
        return await double(ctx, command)

    assert await reason(changed("pay", pay)) == "it starts or moves other sagas"


async def test_a_failure_that_would_be_tried_again_is_told_as_such() -> None:
    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        raise Unavailable("shop.away", "nobody is there")

    patient = SHOP.steps[1].model_copy(update={"retry": FixedRetry(max_attempts=3, delay_s=1)})
    new = SHOP.model_copy(update={"steps": (SHOP.steps[0], patient, SHOP.steps[2])})
    away = "it fails and would be tried again: shop.away: nobody is there"
    assert await reason(changed("pay", pay), new=new) == away
    first, *_ = await found(changed("pay", pay))
    assert first == ("pay", "end", "completed", "failed (shop.away)")

    async def as_before(ctx: ActionContext, command: Sum) -> Paid:
        raise Unavailable("shop.no", "nobody is there")

    assert await found(changed("pay", as_before), new=new, facts=UNDONE) == []


async def test_timeouts_count() -> None:
    import asyncio

    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        await asyncio.Event().wait()
        return await double(ctx, command)

    hasty = SHOP.steps[1].model_copy(update={"timeout_s": 0.05})
    new = SHOP.model_copy(update={"steps": (SHOP.steps[0], hasty, SHOP.steps[2])})
    first, *_ = await found(changed("pay", pay), new=new)
    assert first == ("pay", "end", "completed", "failed (step.timeout)")


async def test_who_waited_hears_the_recorded_signal() -> None:
    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        payload = await ctx.signal()
        assert payload is not None
        return Paid(sum=payload["sum"], id="p-1", at=BEGAN + timedelta(seconds=3))

    waited = told(
        START,
        done("take", sum=10),
        ("pay", "suspended", {"signal": True, "until": None}),
        ("pay", "signalled", {"by": "ann", "payload": {"sum": 10}}),
        done("pay", sum=10, id="p-1", at="2026-03-01T12:00:03Z"),
        done("tell", sum=1),
    )
    assert await found(changed("pay", pay), facts=waited) == []
    assert await reason(changed("pay", pay)) == "it waits for what is not recorded"


async def test_what_ends_in_two_ways_is_not_known() -> None:
    ends = iter([double, refuse])

    async def pay(ctx: ActionContext, command: Sum) -> Paid:
        return await next(ends)(ctx, command)

    assert await reason(changed("pay", pay)) == "it ends in two ways: completed, and failed"


async def test_what_an_action_needs_and_cannot_have_is_said() -> None:
    @asynccontextmanager
    async def operator(environment: Mapping[str, str]) -> AsyncIterator[None]:
        raise Unusable("set SHOP_URL")
        yield

    told = await reason(changed("pay", double, resource=operator))
    assert told == "what it needs cannot be opened: set SHOP_URL"


async def test_an_input_that_the_changed_code_refuses_fails_the_step() -> None:
    class Text(BaseModel):
        sum: str

    @action("shop.pay")
    async def pay(ctx: ActionContext, command: Text) -> Paid:
        raise AssertionError("it is not run with what it refuses")

    first, *_ = await found(pay)
    assert first == ("pay", "end", "completed", "failed (step.input_invalid)")


async def test_a_step_that_was_skipped_is_done_when_its_condition_holds() -> None:
    when = SHOP.steps[2].model_copy(update={"when": "steps.pay.sum > 15"})
    careful = SHOP.model_copy(update={"steps": (*SHOP.steps[:2], when)})
    facts = told(START, done("take", sum=10), done("pay", sum=10), ("tell", "skipped", {"carried": CARRIED}))
    rows = await found(changed("pay", double), changed("tell", double), facts=facts, new=careful)
    assert ("tell", "end", "skipped", "completed") in rows
    assert "unknown" not in {row[1] for row in rows}


HANDLERS = """
from pydantic import BaseModel

from saga.action import ActionContext, action


class Sum(BaseModel):
    sum: int


@action("shop.pay")
async def pay(ctx: ActionContext, command: Sum) -> Sum:
    return command
"""


def test_actions_are_found_in_files_and_modules(tmp_path: Path) -> None:
    (tmp_path / "pay.py").write_text(HANDLERS)
    (tmp_path / "none.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("x = (\n")
    files = [str(tmp_path / "pay.py"), "services.payments.steps.optimize_route"]
    assert load_actions(files).keys() == {"shop.pay", "payments.optimize_route"}
    for file in ("none.py", "bad.py"):
        with pytest.raises(InvalidContract, match=file):
            load_actions([str(tmp_path / file)])
    for what in (str(tmp_path / "nowhere.py"), "no_such_module_anywhere"):
        with pytest.raises(NotFound):
            load_actions([what])


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(JSON, JSON)
def test_what_comes_twice_alike_stands_whatever_was_recorded(value: Any, recorded: Any) -> None:
    assert settled(value, value, recorded) == value


def test_what_comes_differently_stands_as_it_was_recorded() -> None:
    one, other = {"id": 1, "sum": 5, "list": [{"id": 1}]}, {"id": 2, "sum": 5, "list": [{"id": 2}]}
    recorded = {"id": 0, "sum": 4, "list": [{"id": 9}]}
    assert settled(one, other, recorded) == {"id": 0, "sum": 5, "list": [{"id": 9}]}
    assert settled(one, other, None) == one


def test_of_many_sagas_that_diverge_all_are_counted_and_so_many_told() -> None:
    verdict = Verdict()
    for number in range(KEPT + 5):
        verdict.add(f"s{number}", [Divergence(1, "pay", "output/sum", str(number), "0")])
    assert (verdict.diverging, len(verdict.told)) == (KEPT + 5, KEPT)
    ((_, count, example),) = verdict.reasons()
    assert (count, example) == (KEPT + 5, "s0")
