"""The sample and the demo: the file can be made again, every known answer is one, and the run ends as they say."""

import json
import os
from collections import Counter
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

from contracts.chargebacks import Claim, Decision
from saga.cli.system import running
from services.chargebacks.demo import DOMAINS, federal, outside, play, summary
from services.chargebacks.documents import UnreadableError, text_of
from services.chargebacks.sample import Sample, samples
from services.chargebacks.sample.generate import lines
from services.chargebacks.seeds import shipped
from services.chargebacks.steps.extract_identifiers import by_rules
from services.sandboxes.sap import SapBooks

SAMPLES = list(samples())


def test_the_file_is_what_the_generator_writes() -> None:
    text = (files("services.chargebacks") / "sample" / "documents.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == list(lines())


def test_the_sample_has_every_kind_of_document_and_end() -> None:
    kinds = Counter(sample.document.media_type for sample in SAMPLES)
    assert min(kinds[kind] for kind in ("text/plain", "text/csv", "application/pdf")) >= 15
    ends = Counter(sample.outcome for sample in SAMPLES)
    assert min(ends[end] for end in ("credited", "adjusted", "denied")) >= 5
    assert len({reason for sample in SAMPLES for reason in sample.reasons}) >= 12
    references = Counter(sample.document.reference for sample in SAMPLES)
    assert references.most_common(1)[0][1] == 1


def test_every_known_answer_is_a_claim_and_every_decision_a_decision() -> None:
    for sample in SAMPLES:
        assert sample.claim is None or Claim.model_validate(sample.claim)
        for decision in sample.decisions.values():
            Decision.model_validate(decision)


def test_the_rules_read_all_but_what_is_meant_for_a_person() -> None:
    for sample in SAMPLES:
        assert _read(sample) == (None if "review_extraction" in sample.decisions else sample.claim), (
            sample.document.name
        )


def _read(sample: Sample) -> dict[str, object] | None:
    try:
        claim, _, _ = by_rules(sample.document, text_of(sample.document))
    except UnreadableError:
        return None
    known = sample.claim or {}
    return None if claim is None else {name: claim.model_dump(mode="json")[name] for name in known}


def test_the_federal_database_of_the_sample_knows_every_member() -> None:
    members = [member for roster in shipped("rosters").values() for member in roster]
    assert {member["dea"] for member in members} <= federal().registrations.keys()


async def test_every_document_ends_as_its_known_answer_says(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with (
        outside() as world,
        running(DOMAINS, tmp_path, environment=environment | dict(world.environment)) as system,
    ):
        played = await play(system, world)
    assert played.surprises == ()
    assert played.trail_problems == ()
    reviewed = sum(bool(sample.decisions) for sample in SAMPLES)
    assert summary(played) == {
        "documents": len(SAMPLES), "completed": len(SAMPLES), "reviewed": reviewed, "accuracy": 1.0, "stuck": 0,
    }  # fmt: skip
    sap: SapBooks = world.world
    posted = Counter(memo.reference for memo in sap.memos.values())
    credited = {sample.document.reference for sample in SAMPLES if sample.outcome != "denied"}
    assert posted == Counter(credited)
    assert played.credited == sum((Decimal(sample.credited) for sample in SAMPLES), Decimal(0))
