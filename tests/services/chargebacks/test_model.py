"""Reading by a language model over real HTTP: what it says counts only if the document says so, too."""

import base64
from typing import Any

import pytest

from contracts.breakers import BreakerConfig
from contracts.chargeback_claims import ClaimDraft
from contracts.chargebacks import ExtractIdentifiers, IdentifiersExtracted
from contracts.ids import new_saga_id
from saga.breaker import Breakers
from saga.execution import counts_against
from services.chargebacks.extraction.model import strict_schema
from services.chargebacks.sample import drawn
from services.chargebacks.steps.extract_identifiers import extract_identifiers
from services.sandboxes.language_model import LanguageModel, serve_language_model
from tests.services.chargebacks.claims import a_claim, a_document, codes, written
from tests.services.steps import Steps

KEY = "a-key"


def answer(**changes: Any) -> dict[str, Any]:
    """What a model that reads well says of the claim."""
    return ClaimDraft.model_validate(a_claim().model_dump(mode="json")).model_dump(mode="json") | changes


def to_read(content: str | None = None) -> ExtractIdentifiers:
    text = written(a_claim()) if content is None else content
    return ExtractIdentifiers.model_validate(a_document(text).model_dump())


async def read(steps: Steps, model: LanguageModel, command: ExtractIdentifiers) -> IdentifiersExtracted:
    async with serve_language_model(model) as url:
        steps.environment = {
            "SAGA_EXTRACTION_URL": url,
            "SAGA_EXTRACTION_MODEL": "small",
            "SAGA_EXTRACTION_KEY": KEY,
        }
        stated = await steps.done(extract_identifiers, command, new_saga_id())
    assert isinstance(stated, IdentifiersExtracted)
    return stated


async def test_without_a_model_the_rules_read(steps: Steps) -> None:
    stated = await steps.done(extract_identifiers, to_read(), new_saga_id())
    assert (stated.status, stated.method, stated.claim) == ("complete", "rules", a_claim())
    assert stated.metadata == {"batch": "b1", "extracted_by": "rules"}


async def test_a_model_is_asked_strictly_and_with_its_key(steps: Steps) -> None:
    model = LanguageModel({"Meridian": answer()}, key=KEY)
    stated = await read(steps, model, to_read())
    assert (stated.status, stated.method, stated.claim, stated.findings) == (
        "complete",
        "model",
        a_claim(),
        (),
    )
    (asked,) = model.asked
    assert (asked.model, asked.model_extra) == ("small", {"temperature": 0})
    assert asked.response_format["json_schema"]["strict"] is True


async def test_a_model_reads_what_no_rule_reads(steps: Steps) -> None:
    words = written(a_claim()).replace("Contract no.", "As agreed in").replace("Debit memo no.", "Ours:")
    assert (await steps.done(extract_identifiers, to_read(words), new_saga_id())).status == "incomplete"
    stated = await read(steps, LanguageModel({"Meridian": answer()}), to_read(words))
    assert (stated.method, stated.claim) == ("model", a_claim())


@pytest.mark.parametrize("invented", [
    {"contract": "PREM-2232"}, {"customer_hin": "5AAAAAAAA"}, {"wholesaler": "Calder Health Supply Inc."},
])  # fmt: skip
async def test_what_a_model_invents_never_becomes_a_claim(steps: Steps, invented: dict[str, str]) -> None:
    # The rules have the last word where they find the claim whole, and a person where they do not.
    stated = await read(steps, LanguageModel({"": answer(**invented)}), to_read())
    assert (stated.method, stated.claim) == ("rules", a_claim())
    words = written(a_claim()).replace("Debit memo no.", "Ours:")
    stated = await read(steps, LanguageModel({"": answer(**invented)}), to_read(words))
    assert (stated.status, stated.claim) == ("incomplete", None)
    assert set(codes(stated.findings)) == {("extraction.not_in_document", "review")}


async def test_figures_that_do_not_agree_are_for_a_person(steps: Steps) -> None:
    words = written(a_claim()).replace("Debit memo no.", "Ours:").replace("1,202.88", "1,302.88")
    stated = await read(steps, LanguageModel({"": answer(total="1302.88")}), to_read(words))
    assert (stated.method, codes(stated.findings)) == ("model", [("extraction.inconsistent", "review")])


@pytest.mark.parametrize("model", [
    LanguageModel({"": answer()}, status=500), LanguageModel({"": answer()}, key="another"), LanguageModel({}),
    LanguageModel({"": "no JSON"}), LanguageModel({"": {"contract": 1}}), LanguageModel({"": [1]}),
    LanguageModel({"": answer()}, finish_reason="length"),
])  # fmt: skip
async def test_a_model_that_gives_no_answer_costs_a_note(steps: Steps, model: LanguageModel) -> None:
    stated = await read(steps, model, to_read())
    assert (stated.status, stated.method) == ("complete", "rules")
    assert codes(stated.findings) == [("extraction.model_unavailable", "note")]


async def test_a_model_that_is_down_is_left_alone_after_a_while(steps: Steps) -> None:
    steps.breakers = Breakers(BreakerConfig(failure_threshold=2, reset_timeout_s=60), fails=counts_against)
    model = LanguageModel({}, status=503)
    for _ in range(4):
        assert (await read(steps, model, to_read())).method == "rules"
    assert len(model.asked) == 2


async def test_amounts_that_come_as_numbers_lose_nothing(steps: Steps) -> None:
    said = ClaimDraft.model_validate(a_claim().model_dump(mode="json")).model_dump_json()
    for amount in ("104.50", "81.51", "275.88", "42.15", "32.88", "927.00", "1202.88"):
        said = said.replace(f'"{amount}"', amount)
    assert '"wac":104.50' in said
    assert (await read(steps, LanguageModel({"": said}), to_read())).claim == a_claim()


async def test_a_scan_is_for_a_person_and_asks_no_model(steps: Steps) -> None:
    scan = base64.b64encode(drawn("")).decode()
    command = ExtractIdentifiers.model_validate(a_document(scan, "application/pdf").model_dump())
    model = LanguageModel({"": answer()})
    stated = await read(steps, model, command)
    assert (codes(stated.findings), model.asked) == ([("extraction.unreadable", "review")], [])


def test_the_schema_says_no_more_than_strict_endpoints_take() -> None:
    schema = strict_schema()
    assert set(schema["required"]) == set(ClaimDraft.model_fields)
    line = schema["$defs"]["LineDraft"]
    assert (line["additionalProperties"], set(line["required"])) == (False, set(line["properties"]))
    assert "default" not in str(schema)
