"""The demo: what can be gathered is analysed as the sample says, what is refused leaves nothing."""

import os
from pathlib import Path

from saga.cli.system import running
from services.casefiles.demo import DOMAINS, outside, play, summary
from services.casefiles.sample import cases


async def test_the_sample_ends_as_it_says(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with (
        outside() as world,
        running(DOMAINS, tmp_path, environment=environment | dict(world.environment)) as system,
    ):
        played = await play(system, world)
    assert played.surprises == ()
    assert summary(played) == {
        "started": 22, "completed": 18, "failed": 4, "stuck": 0, "evidence": 68, "leftovers": 0
    }  # fmt: skip
    assert played.refusals == {
        "mailbox.query": 1, "sheets.none": 1, "casefile.forbidden": 1, "casefile.unknown": 1
    }  # fmt: skip
    assert played.reports.keys() == {case.client for case in cases()}
