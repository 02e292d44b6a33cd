"""What the page of the claims says is held against what there is."""

import ast
import json
import re
from pathlib import Path
from typing import cast

from fastapi.routing import APIWebSocketRoute

from contracts.claims import SellerNotified
from contracts.facts import Fact, SagaStarted
from contracts.phases import OLDER_STEPS, PHASES, phase_of
from events.bus import Bus
from services.claims.api_live import router
from services.claims.definitions import DEFINITIONS
from services.claims.policy import Policy
from services.claims.settings import ClaimsSettings
from services.claims.steps.submit_claim import submit_claim

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/domains/claims.md").read_text()
HTTP = (ROOT / "docs/reference/http.md").read_text()
_ERRORS = ("Refused", "Unavailable", "EffectUnknown")


def test_the_entries_of_the_page_enter_their_phases() -> None:
    found = re.findall(r"<!-- entry: (\d+) -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert [number for number, _ in found] == ["2", "5", "6"]
    for number, body in found:
        assert phase_of(int(number)).entry.model_validate_json(body)


def test_the_fact_of_the_page_starts_a_phase() -> None:
    (body,) = re.findall(r"<!-- fact -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    fact = Fact.decode(body.encode())
    started = SagaStarted.model_validate(fact.data)
    assert fact.definition in {definition.ref for definition in DEFINITIONS}
    assert PHASES[2].entry.model_validate(started.input).key == "2:S-1/1"
    assert (fact.key, json.loads(body)["id"]) == (("_saga", "started"), f"{fact.sagaid}._saga.started")


def test_older_steps_settings_notifications_and_thresholds_are_those_of_the_page() -> None:
    told = dict(re.findall(r"\b(1[0-4]) is (?:phase )?(\d)", PAGE))
    assert {int(older): int(phase) for older, phase in told.items()} == OLDER_STEPS
    assert {f"SAGA_CLAIMS_{name.upper()}" for name in ClaimsSettings.model_fields} == set(
        re.findall(r"\| `(SAGA_CLAIMS_\w+)` \|", PAGE)
    )
    kinds = SellerNotified.model_json_schema()["properties"]["kind"]["enum"]
    assert [kind for kind in kinds if f"`{kind}`" not in PAGE] == []
    assert f"From {Policy().submit_at}% on a claim is submitted, from {Policy().ask_at}% the seller" in PAGE
    assert submit_claim.name.partition(".")[2] in PAGE


def test_every_error_is_in_the_page() -> None:
    codes = {
        node.args[0].value
        for path in (ROOT / "services/claims").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _ERRORS
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(codes) > 10
    assert [code for code in sorted(map(str, codes)) if f"`{code}`" not in PAGE] == []


def test_the_reference_names_the_websocket_that_openapi_cannot() -> None:
    sockets = [route for route in router(cast(Bus, None)).routes if isinstance(route, APIWebSocketRoute)]
    assert [f"`{route.path}`" in HTTP for route in sockets] == [True]
