"""Each step under the guard, on SQLite and PostgreSQL: done once, undone without taking anything from others."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlmodel import SQLModel, select

from contracts.actions import ActionContract
from contracts.casefiles import (
    ACTIONS,
    CasefileCreated,
    CreateCasefile,
    CreateSession,
    EvidenceFetched,
    FetchEvidence,
    Grant,
    LinkSession,
    ListFiles,
    MergeFindings,
    ReadSheets,
    SearchMail,
    SessionOpened,
    StoreEvidence,
    StoreMessages,
)
from contracts.evidence import FileFindings, Mail, MailFindings
from events.inbox import EffectKey, Inbox
from saga.action import Action
from saga.execution import Done, Failed, Gone
from services.casefiles.executions import executions
from services.casefiles.sample import CLERK, GUEST, PARTNER, cases
from services.casefiles.steps.create_casefile import create_casefile
from services.casefiles.steps.create_session import create_session
from services.casefiles.steps.fetch_evidence import fetch_evidence
from services.casefiles.steps.link_session import link_session
from services.casefiles.steps.list_files import list_files
from services.casefiles.steps.merge_findings import merge_findings
from services.casefiles.steps.read_sheets import read_sheets
from services.casefiles.steps.search_mail import search_mail
from services.casefiles.steps.store_evidence import store_evidence
from services.casefiles.steps.store_messages import store_messages
from services.casefiles.tables import CasefileRow, EvidenceRow, GrantRow, SessionRow, SessionUse
from tests.services.steps import Steps, open_steps

CASE = cases()[0]
GRANTS = (Grant(user_id=CLERK, permission="write"), Grant(user_id=GUEST, permission="read"))
MAILS = (
    Mail(message_id="1", sender="ann@example.com", excerpt="AB-12: EUR 1"),
    Mail(message_id="2", sender="ann@example.com"),
)
NOTHING = MergeFindings(
    mails=MailFindings(mails=0, first_at=None, last_at=None, correspondents=(), claims=()),
    files=FileFindings(files=0, size_bytes=0, duplicates=(), sheets=0, bookings=()),
)


@pytest.fixture
async def replicas(
    tmp_path: Path, database_url: str, connected: dict[str, str]
) -> AsyncIterator[tuple[Steps, Steps]]:
    async with (
        open_steps(tmp_path / "a", database_url=database_url) as a,
        open_steps(tmp_path / "b", database_url=database_url) as b,
    ):
        for steps in (a, b):
            steps.environment = connected
            await steps.database(create_casefile)
        yield a, b


@pytest.fixture
def steps(replicas: tuple[Steps, Steps]) -> Steps:
    return replicas[0]


async def opened(steps: Steps, saga_id: str = "opening", **fields: Any) -> str:
    command = CreateCasefile(**{"title": CASE.title, "user_id": PARTNER, "grants": GRANTS} | fields)
    created: CasefileCreated = await steps.done(create_casefile, command, saga_id)
    return created.casefile_id


async def session_of(steps: Steps, saga_id: str, **fields: Any) -> SessionOpened:
    session: SessionOpened = await steps.done(create_session, CreateSession(**fields), saga_id)
    return session


async def count(steps: Steps, *tables: type[SQLModel]) -> tuple[int, ...]:
    """How many rows there are; sagas that have left a session are history."""
    found = [await steps.rows(create_casefile, select(table)) for table in tables]
    return tuple(sum(not getattr(row, "left", False) for row in rows) for rows in found)


async def test_a_casefile_is_created_once_and_removed_once(steps: Steps) -> None:
    command = CreateCasefile(title=CASE.title, user_id=PARTNER, grants=GRANTS)
    first = await steps.do(create_casefile, command, "s1")
    assert await steps.do(create_casefile, command, "s1", attempt=2) == first
    assert await count(steps, CasefileRow, GrantRow) == (1, 2)
    assert await steps.undo(create_casefile, command, "s1") == Done(None)
    assert await steps.undo(create_casefile, command, "s1") == Done(None)
    assert await count(steps, CasefileRow, GrantRow) == (0, 0)
    assert await steps.do(create_casefile, command, "s1") == Gone()


@pytest.mark.parametrize("used_by", ["evidence", "session"])
async def test_a_casefile_that_others_use_is_not_removed(steps: Steps, used_by: str) -> None:
    command = CreateCasefile(title=CASE.title, user_id=PARTNER)
    casefile_id = await opened(steps, "s1")
    if used_by == "evidence":
        stored = StoreEvidence(casefile_id=casefile_id, user_id=CLERK, mails=MAILS)
        await steps.done(store_evidence, stored, "other")
    else:
        await session_of(steps, "other", casefile_id=casefile_id)
    end = await steps.undo(create_casefile, command, "s1")
    assert isinstance(end, Failed)
    assert (end.failure.code, end.failure.retryable) == ("casefile.in_use", False)
    assert await count(steps, CasefileRow) == (1,)
    # Once they have gone, it can be.
    await steps.undo(store_evidence, StoreEvidence(), "other")
    await steps.undo(create_session, CreateSession(), "other")
    assert await steps.undo(create_casefile, command, "s1") == Done(None)
    assert await count(steps, CasefileRow) == (0,)


async def test_its_own_evidence_that_was_to_stay_goes_with_the_casefile(steps: Steps) -> None:
    casefile_id = await opened(steps, "s1")
    await steps.done(
        store_evidence, StoreEvidence(casefile_id=casefile_id, user_id=PARTNER, mails=MAILS), "s1"
    )
    await session_of(steps, "s1", casefile_id=casefile_id)
    assert await steps.undo(create_casefile, CreateCasefile(title="x", user_id=PARTNER), "s1") == Done(None)
    assert await count(steps, CasefileRow, EvidenceRow, SessionRow) == (0, 0, 1)


async def test_a_session_is_found_by_everybody_who_looks_at_once(replicas: tuple[Steps, Steps]) -> None:
    casefile_id = await opened(replicas[0])
    command = CreateSession(casefile_id=casefile_id)
    ends = await asyncio.gather(
        *(replicas[number % 2].do(create_session, command, f"s{number}") for number in range(8))
    )
    outputs = [end.output or {} for end in ends if isinstance(end, Done)]
    assert len(outputs) == 8
    assert len({output["session_id"] for output in outputs}) == 1
    assert sum(output["created"] for output in outputs) == 1
    assert await count(replicas[0], SessionRow, SessionUse) == (1, 8)


async def test_the_last_undo_removes_a_session_not_the_one_that_created_it(steps: Steps) -> None:
    casefile_id = await opened(steps)
    created = await session_of(steps, "s1", casefile_id=casefile_id)
    found = await session_of(steps, "s2", casefile_id=casefile_id)
    assert (created.created, found.created) == (True, False)
    await steps.undo(create_session, CreateSession(), "s1")
    assert await count(steps, SessionRow, SessionUse) == (1, 1)
    await steps.undo(create_session, CreateSession(), "s2")
    assert await count(steps, SessionRow, SessionUse) == (0, 0)


async def test_finding_and_leaving_at_once_loses_no_session(replicas: tuple[Steps, Steps]) -> None:
    one, other = replicas
    casefile_id = await opened(one)
    command = CreateSession(casefile_id=casefile_id)
    await session_of(one, "s0", casefile_id=casefile_id)
    for number in range(6):
        left, found = await asyncio.gather(
            one.undo(create_session, command, f"s{number}"),
            other.do(create_session, command, f"s{number + 1}"),
        )
        assert left == Done(None)
        assert isinstance(found, Done)
        assert await count(one, SessionRow, SessionUse) == (1, 1)


async def test_sessions_of_another_user_kind_or_name_are_others(steps: Steps) -> None:
    casefile_id = await opened(steps)
    wanted: list[dict[str, Any]] = [
        {"casefile_id": casefile_id},
        {"casefile_id": casefile_id, "kind": "chat"},
        {"casefile_id": casefile_id, "user_id": GUEST},
        {"casefile_id": casefile_id, "name": "second"},
        {"user_id": PARTNER},
    ]
    sessions = [await session_of(steps, f"s{number}", **one) for number, one in enumerate(wanted)]
    assert len({session.session_id for session in sessions}) == len(wanted)
    assert [session.user_id for session in sessions] == [PARTNER, PARTNER, GUEST, PARTNER, PARTNER]
    again = await session_of(steps, "again", user_id=PARTNER, name="default")
    assert again.session_id == sessions[4].session_id


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "session.no_user"),
        ({"casefile_id": "nowhere"}, "session.no_user"),
        ({"casefile_id": "nowhere", "user_id": PARTNER}, "casefile.unknown"),
        ({"casefile_id": "mine", "user_id": "stranger"}, "casefile.unknown"),
        ({"casefile_id": "mine", "user_id": PARTNER, "name": "elsewhere"}, "session.elsewhere"),
    ],
)
async def test_a_session_that_cannot_be_is_refused(steps: Steps, fields: dict[str, str], code: str) -> None:
    mine, other = await opened(steps, "mine"), await opened(steps, "other")
    await session_of(steps, "s0", casefile_id=other, name="elsewhere")
    told = fields | ({"casefile_id": mine} if fields.get("casefile_id") == "mine" else {})
    assert await steps.refused(create_session, CreateSession.model_validate(told), "s1") == code


async def test_a_link_is_taken_back_to_where_it_led_before(steps: Steps) -> None:
    one, other = await opened(steps, "one"), await opened(steps, "other")
    session = await session_of(steps, "s0", user_id=PARTNER)
    first = LinkSession(session_id=session.session_id, casefile_id=one)
    second = LinkSession(session_id=session.session_id, casefile_id=other)
    assert (await steps.done(link_session, first, "s1")).before is None
    assert (await steps.done(link_session, second, "s2")).before == one

    async def linked() -> str | None:
        (row,) = await steps.rows(create_casefile, select(SessionRow))
        return str(row.casefile_id) if row.casefile_id else None

    # Somebody has linked it anew since the first: that stays.
    await steps.undo(link_session, first, "s1")
    assert await linked() == other
    await steps.undo(link_session, second, "s2")
    assert await linked() == one


async def test_a_link_is_not_taken_back_to_a_casefile_that_is_gone(steps: Steps) -> None:
    one, other = await opened(steps, "one"), await opened(steps, "other")
    session = await session_of(steps, "s0", casefile_id=one)
    command = LinkSession(session_id=session.session_id, casefile_id=other)
    await steps.done(link_session, command, "s1")
    await steps.undo(create_casefile, CreateCasefile(title="x", user_id=PARTNER), "one")
    assert await steps.undo(link_session, command, "s1") == Done(None)
    (row,) = await steps.rows(create_casefile, select(SessionRow))
    assert row.casefile_id is None


async def test_a_session_is_linked_only_to_what_its_user_may_read(steps: Steps) -> None:
    casefile_id = await opened(steps)
    session = await session_of(steps, "s0", user_id="stranger")
    for wanted, code in ((casefile_id, "casefile.unknown"), ("nowhere", "casefile.unknown")):
        command = LinkSession(session_id=session.session_id, casefile_id=wanted)
        assert await steps.refused(link_session, command, f"s {wanted}") == code
    nobodys = LinkSession(session_id="nobodys", casefile_id=casefile_id)
    assert await steps.refused(link_session, nobodys, "s3") == "session.unknown"


STORING: list[tuple[Action, BaseModel, int]] = [
    (store_evidence, StoreEvidence(mails=MAILS), 2),
    (store_messages, StoreMessages(query=CASE.query), CASE.mails),
    (merge_findings, NOTHING, 1),
]
storing = pytest.mark.parametrize(
    ("action", "command", "stored"), STORING, ids=[action.name for action, _, _ in STORING]
)


@storing
async def test_what_a_step_has_stored_is_removed_and_nothing_else(
    steps: Steps, action: Action, command: BaseModel, stored: int
) -> None:
    casefile_id = await opened(steps)
    for saga_id in ("s1", "s2"):
        await session_of(steps, saga_id, casefile_id=casefile_id)
        await steps.done(action, command, saga_id)
        await steps.done(action, command, saga_id)
    assert await count(steps, EvidenceRow) == (2 * stored,)
    await steps.undo(action, command, "s1")
    left = await steps.rows(create_casefile, select(EvidenceRow))
    assert {row.saga_id for row in left} == {"s2"}
    assert len(left) == stored


@storing
async def test_an_undo_that_comes_first_bars_storing(
    steps: Steps, action: Action, command: BaseModel, stored: int
) -> None:
    await session_of(steps, "s1", casefile_id=await opened(steps))
    assert await steps.undo(action, command, "s1") == Done(None)
    assert await steps.do(action, command, "s1") == Gone()
    assert await count(steps, EvidenceRow) == (0,)


async def test_mails_that_are_found_after_the_undo_are_not_stored(steps: Steps) -> None:
    # A worker that was paused while it asked the mailbox wakes when its step has been undone by another.
    await session_of(steps, "s1", casefile_id=await opened(steps))
    command = StoreMessages(query=CASE.query)
    inbox = Inbox(await steps.database(store_messages), steps.now)
    key = EffectKey("s1", "store_messages")
    await inbox.intend(key)
    assert await steps.undo(store_messages, command, "s1") == Done(None)
    context, _ = await steps._context(store_messages, "s1", 1)
    with pytest.raises(Exception, match="was undone before"):
        await store_messages.handler(context, command)
    assert await count(steps, EvidenceRow) == (0,)


async def test_a_crash_between_storing_and_noting_it_stores_nothing_twice(steps: Steps) -> None:
    await session_of(steps, "s1", casefile_id=await opened(steps))
    command = StoreMessages(query=CASE.query)
    await Inbox(await steps.database(store_messages), steps.now).intend(EffectKey("s1", "store_messages"))
    context, _ = await steps._context(store_messages, "s1", 1)
    await store_messages.handler(context, command)
    await steps.done(store_messages, command, "s1")
    assert await count(steps, EvidenceRow) == (CASE.mails,)


@storing
@pytest.mark.parametrize(
    ("user_id", "code"), [(GUEST, "casefile.forbidden"), ("stranger", "casefile.unknown")]
)
async def test_storing_needs_the_permission_to_write(
    steps: Steps, action: Action, command: BaseModel, stored: int, user_id: str, code: str
) -> None:
    told = command.model_copy(update={"casefile_id": await opened(steps), "user_id": user_id})
    assert await steps.refused(action, told, "s1") == code
    allowed = told.model_copy(update={"user_id": CLERK})
    await steps.done(action, allowed, "s2")


async def test_without_a_session_and_a_casefile_there_is_no_place_to_store(steps: Steps) -> None:
    assert await steps.refused(store_evidence, StoreEvidence(mails=MAILS), "s1") == "casefile.none"


async def test_what_was_stored_is_fetched_the_newest_of_each_source(steps: Steps) -> None:
    casefile_id = await opened(steps)
    older, newer = MAILS[0], MAILS[0].model_copy(update={"excerpt": "AB-12: EUR 2"})
    for saga_id, mails in (("s1", (older, MAILS[1])), ("s2", (newer,))):
        stored = StoreEvidence(casefile_id=casefile_id, user_id=PARTNER, mails=mails)
        await steps.done(store_evidence, stored, saga_id)
    wanted = FetchEvidence(casefile_id=casefile_id, user_id=GUEST)
    fetched: EvidenceFetched = await steps.done(fetch_evidence, wanted, "s3")
    assert (fetched.mails, fetched.files, fetched.more) == ((newer, MAILS[1]), (), False)
    some = wanted.model_copy(update={"limit": 1})
    assert (await steps.done(fetch_evidence, some, "s4")).more


@pytest.mark.parametrize(
    ("action", "command", "code"),
    [
        (search_mail, SearchMail(query="size:3"), "mailbox.query"),
        (list_files, ListFiles(pattern="a/../../b"), "drive.pattern"),
        (read_sheets, ReadSheets(patterns=("missing.csv",)), "sheets.none"),
    ],
)
async def test_what_cannot_be_gathered_is_refused(
    steps: Steps, action: Action, command: BaseModel, code: str
) -> None:
    assert await steps.refused(action, command, "s1") == code


@pytest.mark.parametrize(
    ("action", "command", "code"),
    [
        (search_mail, SearchMail(query="a"), "mailbox.none"),
        (list_files, ListFiles(pattern="*"), "drive.none"),
        (read_sheets, ReadSheets(patterns=("*.csv",)), "drive.none"),
    ],
)
async def test_what_is_not_connected_is_named(
    steps: Steps, action: Action, command: BaseModel, code: str
) -> None:
    steps.environment = {}
    assert await steps.refused(action, command, "s1") == code


async def test_the_history_of_a_session_comes_in_pages(steps: Steps) -> None:
    session = await session_of(steps, "s1", casefile_id=await opened(steps, "s1"))
    await steps.done(store_evidence, StoreEvidence(mails=MAILS), "s1")
    await steps.refused(list_files, ListFiles(pattern="a/../../b"), "s1")
    database = await steps.database(create_casefile)
    place: tuple[datetime, str, str] | None = None
    shown: list[tuple[str, str]] = []
    while True:
        async with database.transaction() as within:
            page = await executions(within, session.session_id, place, 1)
        if not page:
            break
        shown += [(one.step, one.state) for one in page]
        place = page[-1].at, page[-1].saga_id, page[-1].step
    assert shown == [
        ("list_files", "refused"), ("store_evidence", "done"), ("create_session", "done"),
        ("create_casefile", "done"),
    ]  # fmt: skip


@pytest.mark.parametrize("contract", ACTIONS, ids=lambda contract: contract.name)
def test_the_examples_of_an_action_are_inputs_of_it(contract: ActionContract) -> None:
    assert contract.category
    for example in contract.examples:
        contract.input.model_validate(example)


async def test_a_step_acts_for_whom_its_saga_runs_unless_it_is_told(steps: Steps) -> None:
    steps.user_id = CLERK
    created: CasefileCreated = await steps.done(create_casefile, CreateCasefile(title="x"), "s1")
    assert created.owner == CLERK
    named = CreateCasefile(title="x", user_id=PARTNER, grants=GRANTS)
    other: CasefileCreated = await steps.done(create_casefile, named, "s2")
    assert other.owner == PARTNER
    session = await session_of(steps, "s3", casefile_id=other.casefile_id)
    assert session.user_id == CLERK
    steps.user_id = GUEST
    stored = StoreEvidence(casefile_id=other.casefile_id, mails=MAILS)
    assert await steps.refused(store_evidence, stored, "s4") == "casefile.forbidden"
    steps.user_id = "no user"
    assert await steps.refused(store_evidence, stored, "s5") == "user.invalid"
