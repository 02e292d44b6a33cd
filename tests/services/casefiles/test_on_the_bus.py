"""The three workflows on the bus, the participants, a real database, a real mbox, folder and workbooks."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlmodel import select

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives
from contracts.facts import FactKind
from contracts.retries import FixedRetry
from events.database import Database, make_engine
from saga.client import StartOptions
from saga.domains import domain_actions
from saga.service import ServiceSettings, serve
from saga.state import SagaState, SagaStatus
from saga.topology import consumers_for
from services.casefiles.definitions import ANALYSIS, DEFINITIONS, GATHER, SETUP
from services.casefiles.sample import CLERK, GUEST, MAILBOX, PARTNER, Case, cases
from services.casefiles.steps.create_casefile import NOBODY
from services.casefiles.tables import CasefileRow, EvidenceRow, SessionRow, SessionUse
from services.integrations.steps.wait import wait
from tests.services.casefiles.imap import PASSWORD, USER
from tests.world import Running

CASE = cases()[0]


@dataclass
class Office:
    """The casefile services on a bus, and their database."""

    running: Running
    database: Database

    async def play(
        self, definition: SagaDefinition, dry_run: bool = False, **input: Any
    ) -> tuple[SagaState, dict[str, Any]]:
        """One saga to its end, and the outputs of its steps."""
        options = StartOptions(directives=Directives(dry_run=dry_run))
        saga_id = (await self.running.client.start(definition.ref, input, options)).saga_id
        state = await self.running.ended(definition, saga_id)
        outputs = {
            one.fact.subject: one.fact.data["output"]
            for one in await self.running.facts(saga_id)
            if one.fact.kind == FactKind.COMPLETED and one.fact.subject in definition.by_name
        }
        return state, outputs

    async def set_up(self, case: Case = CASE, **input: Any) -> str:
        told = {"title": case.title, "user_id": PARTNER, "query": case.query} | input
        state, outputs = await self.play(SETUP, **told)
        assert state.status == SagaStatus.COMPLETED, state.abort
        casefile_id: str = outputs["create_casefile"]["casefile_id"]
        return casefile_id

    async def rows(self, table: type[Any]) -> list[Any]:
        async with self.database.transaction() as session:
            return list((await session.exec(select(table))).all())

    async def count(self, table: type[Any]) -> int:
        """How many rows there are; sagas that have left a session are history."""
        return sum(not getattr(row, "left", False) for row in await self.rows(table))

    async def remove(self, *tables: type[Any]) -> None:
        async with self.database.transaction() as session:
            for table in tables:
                await session.exec(delete(table))


@asynccontextmanager
async def open_office(running: Running, environment: dict[str, str]) -> AsyncIterator[Office]:
    """The office, its mailbox and drive being where the environment says."""
    await running.definitions.publish_all(DEFINITIONS, consumers_for)
    settings = ServiceSettings(data=running.data, grace_s=0)
    actions = [*domain_actions("casefiles"), wait]
    async with serve(actions, running.bus, running.definitions, settings, environment=environment):
        database = Database(make_engine(settings.url_of("casefiles")))
        yield Office(running, database)
        await database.close()


@pytest.fixture
async def office(running: Running, connected: dict[str, str]) -> AsyncIterator[Office]:
    async with open_office(running, connected) as opened:
        yield opened


def gathering(case: Case, casefile_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "casefile_id": casefile_id, "user_id": PARTNER, "query": case.query, "files": f"{case.client}/*",
        "sheets": [f"{case.client}/*.csv", f"{case.client}/*.xlsx"],
    } | changes  # fmt: skip


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.client)
async def test_a_case_is_set_up_gathered_and_analysed(office: Office, case: Case) -> None:
    casefile_id = await office.set_up(case)
    assert await office.count(EvidenceRow) == case.mails
    state, outputs = await office.play(GATHER, **gathering(case, casefile_id))
    assert state.status == SagaStatus.COMPLETED, state.abort
    assert outputs["store_evidence"]["mails"] == case.mails
    state, outputs = await office.play(ANALYSIS, casefile_id=casefile_id, user_id=PARTNER)
    assert state.status == SagaStatus.COMPLETED, state.abort
    report = outputs["merge"]["report"]
    report["differing"] = [one["reference"] for one in report["differing"]]
    assert {name: report[name] for name in case.report} == case.report
    # All three have worked in the partner's one session on the casefile.
    assert (await office.count(SessionRow), await office.count(SessionUse)) == (1, 3)


async def test_an_imap_server_is_as_good_a_mailbox(
    running: Running, connected: dict[str, str], imap_port: int
) -> None:
    mailbox = {"SAGA_MAILBOX": f"imap://{USER}@127.0.0.1:{imap_port}/INBOX", "SAGA_SECRET_MAILBOX": PASSWORD}
    async with open_office(running, connected | mailbox) as office:
        casefile_id = await office.set_up()
        state, outputs = await office.play(GATHER, **gathering(CASE, casefile_id))
        assert state.status == SagaStatus.COMPLETED, state.abort
        assert outputs["store_evidence"]["mails"] == CASE.mails


async def test_a_mailbox_that_is_away_for_a_moment_is_waited_for(
    running: Running, connected: dict[str, str], tmp_path: Path
) -> None:
    away = tmp_path / "mail.mbox"
    async with open_office(running, connected | {"SAGA_MAILBOX": str(away)}) as office:
        saga_id = await running.start(SETUP, title=CASE.title, user_id=PARTNER, query=CASE.query)
        await running.stated(saga_id, ("store_messages", FactKind.ATTEMPT_FAILED))
        shutil.copy(MAILBOX, away)
        assert (await running.ended(SETUP, saga_id)).status == SagaStatus.COMPLETED
        assert await office.count(EvidenceRow) == CASE.mails


TABLES = (CasefileRow, EvidenceRow, SessionRow, SessionUse)


def failure_of(state: SagaState) -> str:
    assert state.abort is not None
    return str(state.abort["failure"]["code"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"query": "after:someday"}, "mailbox.query"),
        ({"sheets": ["aldermill/*.csv", "missing.xlsx"]}, "sheets.none"),
        ({"files": "aldermill/../../*"}, "drive.pattern"),
        ({"user_id": CLERK}, "casefile.forbidden"),
        ({"user_id": GUEST}, "casefile.unknown"),
    ],
)
async def test_a_gathering_that_is_refused_leaves_nothing(
    office: Office, changes: dict[str, Any], code: str
) -> None:
    casefile_id = await office.set_up(grants=[{"user_id": CLERK, "permission": "read"}])
    before = [await office.count(table) for table in TABLES]
    state, _ = await office.play(GATHER, **gathering(CASE, casefile_id, **changes))
    assert (state.status, failure_of(state)) == (SagaStatus.COMPENSATED, code)
    assert [await office.count(table) for table in TABLES] == before


async def test_a_setup_that_is_refused_takes_its_casefile_back(office: Office) -> None:
    told: dict[str, Any] = {"title": CASE.title, "user_id": PARTNER, "query": "size:3"}
    state, outputs = await office.play(SETUP, **told)
    assert (state.status, failure_of(state)) == (SagaStatus.COMPENSATED, "mailbox.query")
    assert outputs.keys() == {"create_casefile", "create_session"}
    assert [await office.count(table) for table in TABLES] == [0, 0, 0, 0]


async def test_who_may_only_read_gets_no_report_stored(office: Office) -> None:
    casefile_id = await office.set_up(grants=[{"user_id": CLERK, "permission": "read"}])
    before = [await office.count(table) for table in TABLES]
    state, outputs = await office.play(ANALYSIS, casefile_id=casefile_id, user_id=CLERK)
    assert (state.status, failure_of(state)) == (SagaStatus.COMPENSATED, "casefile.forbidden")
    assert outputs.keys() == {"create_session", "fetch", "process_mails", "process_files"}
    assert [await office.count(table) for table in TABLES] == before


async def test_a_dry_run_reads_and_stores_nothing(office: Office) -> None:
    casefile_id = await office.set_up()
    before = [await office.count(table) for table in TABLES]
    state, outputs = await office.play(GATHER, dry_run=True, **gathering(CASE, casefile_id))
    assert state.status == SagaStatus.COMPLETED, state.abort
    assert outputs["store_evidence"]["mails"] == CASE.mails
    state, outputs = await office.play(ANALYSIS, dry_run=True, casefile_id=casefile_id, user_id=PARTNER)
    assert state.status == SagaStatus.COMPLETED, state.abort
    assert outputs["merge"]["report"]["mails"] == CASE.mails
    assert [await office.count(table) for table in TABLES] == before


async def test_a_setup_needs_no_more_said_than_title_and_query(office: Office) -> None:
    least = SagaDefinition(
        name="least",
        steps=(
            Step(name="create_casefile", action="casefiles.create_casefile", input={"title": "Case #12345"}),
            Step(
                name="create_session",
                action="casefiles.create_session",
                after=("create_casefile",),
                input={"casefile_id": "${steps.create_casefile.casefile_id}"},
            ),
            Step(
                name="store_messages",
                action="casefiles.store_messages",
                after=("create_session",),
                input={"query": CASE.query},
            ),
        ),
    )
    await office.running.publish(least)
    state, outputs = await office.play(least)
    assert state.status == SagaStatus.COMPLETED, state.abort
    assert outputs["create_casefile"]["owner"] == outputs["create_session"]["user_id"] == NOBODY
    assert outputs["store_messages"]["stored"] == await office.count(EvidenceRow) == CASE.mails


async def test_a_casefile_that_others_use_meanwhile_waits_for_a_person(office: Office) -> None:
    approval = Step(
        name="approval",
        action="integrations.wait",
        after=("store_messages",),
        input={"signal": True},
    )
    first, *rest = SETUP.steps
    first = first.model_copy(update={"compensation_retry": FixedRetry(max_attempts=2, delay_s=0.05)})
    approved = SETUP.model_copy(update={"name": "casefile-approved", "steps": (first, *rest, approval)})
    running, client = office.running, office.running.client
    await running.publish(approved)
    saga_id = await running.start(approved, title=CASE.title, user_id=PARTNER, query=CASE.query)
    await running.stated(saga_id, ("approval", FactKind.SUSPENDED))
    (casefile,) = await office.rows(CasefileRow)
    gathered, _ = await office.play(GATHER, **gathering(CASE, casefile.casefile_id))
    assert gathered.status == SagaStatus.COMPLETED
    await client.cancel(saga_id, reason="not approved", by="test")
    assert (await running.ended(approved, saga_id)).status == SagaStatus.WAITING
    # What the cancelled saga had stored is gone; what the other one has stored, and its session, are not.
    left = await office.rows(EvidenceRow)
    assert left
    assert saga_id not in {row.saga_id for row in left}
    assert await office.count(SessionRow) == 1
    await office.remove(EvidenceRow, SessionRow)
    await client.retry(saga_id, "create_casefile", reason="they have gone", by="test")
    state = await running.until(approved, saga_id, lambda state: state.ended)
    assert state.status == SagaStatus.COMPENSATED
    assert await office.count(CasefileRow) == 0
