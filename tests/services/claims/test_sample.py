"""The sample is what its generator writes, and the whole of it plays: found, claimed, paid and reconciled."""

import asyncio
import os
import sys
from decimal import Decimal
from pathlib import Path

import httpx2

from contracts.marketplace import RECORDS
from saga.cli.system import running
from services.claims.demo import DOMAINS, outside, play, summary
from services.claims.findings import Records, detect
from services.claims.sample import FOLDER, OWED, rows
from services.claims.sample.generate import FIRST, LAST, write
from services.sandboxes.marketplace import Marketplace


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    written = write(tmp_path)
    assert {path.name: path.read_text() for path in written} == {
        path.name: path.read_text() for path in FOLDER.glob("*.csv")
    }


def test_twelve_months_of_records_are_valid() -> None:
    records = Records.of({kind: rows(kind) for kind in RECORDS})
    months = {(order.on.year, order.on.month) for order in records.orders}
    assert len(months) == 12
    assert (min(order.on for order in records.orders), records.newest) == (FIRST, LAST)


def test_what_is_found_is_owed_to_the_cent_but_for_the_two_records_that_deceive() -> None:
    records = Records.of({kind: rows(kind) for kind in RECORDS})
    found = {(one.kind.value, " ".join(one.records)): (one.quantity, one.amount) for one in detect(records)}
    owed = {
        (row["kind"], row["records"]): (int(row["quantity"]), Decimal(row["amount"])) for row in rows(OWED)
    }
    assert len(owed) == 41
    assert [found.get(key) for key in owed].count(None) == 1
    assert len(found.keys() - owed.keys()) == 1
    assert {key: found[key] for key in found.keys() & owed.keys()} == {
        key: owed[key] for key in found.keys() & owed.keys()
    }


async def test_the_whole_sample_plays(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with (
        outside() as world,
        running(DOMAINS, tmp_path, environment=environment | dict(world.environment)) as system,
    ):
        played = await play(system, world)
    figures = summary(played)
    market: Marketplace = world.world
    assert (figures["claims"], figures["precision"], figures["recall"]) == (41, 0.9756, 0.9756)
    assert (figures["stuck"], figures["reconciled"], played.books.differences) == (0, True, ())
    cases = market.cases.all()
    assert figures["submitted"] == len({case.claim_id for case in cases})
    assert figures["resubmitted"] == len(cases) - figures["submitted"]
    assert figures["rejected"] == sum(case.status == "rejected" for case in cases)
    assert figures["paid"] == sum(case.status == "paid" for case in cases) > 25
    assert (played.statuses["declined"], played.statuses["expired"] >= 1) == (1, True)
    assert {lesson["version"] for lesson in played.lessons} >= {2, 3}
    assert played.heard["payout_received"] == played.heard["packet_ready"] == figures["paid"]
    assert played.heard["phase_entered"] >= played.sagas - 3


async def test_the_samples_marketplace_can_be_served_on_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.claims.sample.serve", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().strip()
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.get("/v1/records/orders")).status_code == 401
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode == 0
