"""Policies and limits as data: precedence, permissions, and what a limit lets in whatever happens."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.failure import InvalidContract
from contracts.limits import Entry, LimitRecord, enter, leave
from contracts.policies import Policies, Policy, RateLimit, effective, lacking
from contracts.retries import FixedRetry

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_nearest_level_that_says_something_counts() -> None:
    found = effective(
        [
            ("step", "step a", Policy(timeout_s=1)),
            ("action", "x.y", Policy(timeout_s=2, retry=FixedRetry(max_attempts=7), breaker="b")),
            ("domain", "x", Policy(timeout_s=3, retry=FixedRetry(max_attempts=9), concurrency=5)),
        ]
    )
    told = {one.name: (one.value, one.level, one.source) for one in found.settings}
    assert told["timeout_s"] == (1, "step", "step a")
    assert told["retry"][0]["max_attempts"] == 7
    assert told["breaker"] == ("b", "action", "x.y")
    assert told["concurrency"] == (5, "domain", "x")
    assert told["rate"] == (None, "default", "default")
    assert told["compensation_retry"][1] == "default"
    assert found.policy.timeout_s == 1


def test_an_empty_breaker_says_none_and_is_no_silence() -> None:
    found = effective([("action", "x.y", Policy(breaker="")), ("domain", "x", Policy(breaker="all"))])
    assert found.policy.breaker == ""


def test_permissions_add_up() -> None:
    found = effective(
        [("action", "x.y", Policy(permissions=("x:do",))), ("domain", "x", Policy(permissions=("x:see",)))]
    )
    assert found.policy.permissions == ("x:do", "x:see")
    assert [one.level for one in found.settings if one.name == "permissions"] == ["action", "domain"]


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ((), ["mail:read", "drive"]),
        (("mail:read",), ["drive"]),
        (("mail:*", "drive"), []),
        (("*",), []),
        (("mail", "mail:write"), ["mail:read", "drive"]),
    ],
)
def test_what_is_not_granted_is_lacking(granted: tuple[str, ...], missing: list[str]) -> None:
    assert lacking(("mail:read", "drive"), granted) == missing


def test_a_file_of_policies_says_where_it_is_wrong() -> None:
    assert Policies.parse({"domains": {"x": {"rate": {"per_s": 5}}}}).domains["x"].rate == RateLimit(per_s=5)
    with pytest.raises(InvalidContract, match=r"/actions/x\.y/timeout_s"):
        Policies.parse({"actions": {"x.y": {"timeout_s": 0}}})
    with pytest.raises(InvalidContract, match="/domains/x/breaker"):
        Policies.parse({"domains": {"x": {"breaker": "not a name"}}})


def test_what_a_step_leaves_to_its_policy_is_not_written() -> None:
    definition = SagaDefinition(
        name="d", steps=(Step(name="a", action="x.y", timeout_s=30.0), Step(name="b", action="x.y"))
    )
    again = SagaDefinition.model_validate_json(definition.written())
    assert again == definition
    assert again.content_hash == definition.content_hash
    assert [step.unsaid for step in again.steps] == [
        {"retry", "compensation_retry"}, {"timeout_s", "retry", "compensation_retry"},
    ]  # fmt: skip
    assert again.steps[1].model_copy(update={"timeout_s": 5.0}).unsaid == {"retry", "compensation_retry"}


_NAMES = st.sampled_from("abcde")
_MOVES = st.lists(st.tuples(st.sampled_from(["enter", "leave"]), _NAMES, st.floats(0, 3)), max_size=60)


@given(moves=_MOVES, most=st.integers(1, 3))
def test_no_more_are_inside_than_may_be(moves: list[tuple[str, str, float]], most: int) -> None:
    record, now, inside = LimitRecord(), BEGUN, dict[str, datetime]()
    for what, name, later_s in moves:
        now += timedelta(seconds=later_s)
        inside = {one: until for one, until in inside.items() if until > now}
        if what == "leave":
            record = leave(record, name)
            inside.pop(name, None)
            continue
        let = enter(record, Entry(name=name, lease_s=2.0, concurrency=most), now)
        record = let.record
        if not let.wait_s:
            inside[name] = now + timedelta(seconds=2.0)
        else:
            assert len(inside) == most, "who could be let in is let in"
        assert len(inside) <= most


@given(
    gaps=st.lists(st.floats(-0.5, 2), max_size=80), per_s=st.floats(0.5, 20), burst=st.integers(1, 5)
)  # fmt: skip
def test_no_more_pass_than_the_rate_and_a_burst(gaps: list[float], per_s: float, burst: int) -> None:
    record, now, passed = LimitRecord(), BEGUN, 0
    earliest = latest = BEGUN + timedelta(seconds=gaps[0] if gaps else 0)
    for number, gap in enumerate(gaps):
        now += timedelta(seconds=gap)
        earliest, latest = min(earliest, now), max(latest, now)
        entry = Entry(name=f"s{number}", lease_s=1.0, rate=RateLimit(per_s=per_s, burst=burst))
        let = enter(record, entry, now)
        record, passed = let.record, passed + (not let.wait_s)
        assert passed <= burst + (latest - earliest).total_seconds() * per_s + 1e-6
        if let.wait_s:
            again = enter(record, entry, max(now, record.at or now) + timedelta(seconds=let.wait_s + 1e-6))
            assert not again.wait_s, "who waits as told is let in"
