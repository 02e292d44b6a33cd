"""The page on chargebacks: it names every finding and error, and its examples are what they claim to be."""

import ast
import re
from pathlib import Path

from contracts.chargebacks import ChargebackDocument, Decision
from saga.domains import domain_actions
from saga.service import ServiceSettings
from services.chargebacks.api import open_api
from services.chargebacks.definitions import CHARGEBACK
from services.chargebacks.sample import samples

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/domains/chargebacks.md").read_text()
_CODE = re.compile(r"^(chargeback|check|contract|duplicate|extraction|federal|review|roster|sap)\.[a-z_]+$")


def example(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_finding_and_every_error_is_in_the_page() -> None:
    literals = {
        node.value
        for source in (ROOT / "services/chargebacks").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    codes = {literal for literal in literals if _CODE.match(literal)} - {"federal.yaml"}
    assert len(codes) > 25
    # Built from the name of the other side, and from the end of a review.
    codes |= {f"sap.{why}" for why in ("refused", "unavailable", "unreachable", "not_configured")}
    codes |= {"review.rejected", "review.expired"}
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_every_step_is_in_the_page() -> None:
    assert {step for step in CHARGEBACK.by_name if f"`{step}`" not in PAGE} == set()
    assert len(domain_actions("chargebacks")) == 9


def test_the_examples_are_a_document_and_a_decision() -> None:
    ChargebackDocument.model_validate_json(example("document"))
    assert Decision.model_validate_json(example("decision")).corrections


def test_the_sample_has_as_many_documents_as_the_page_says() -> None:
    assert f"plays {len(list(samples()))} documents" in PAGE


async def test_every_route_is_in_the_reference(tmp_path: Path) -> None:
    reference = (ROOT / "docs/reference/http.md").read_text()
    async with open_api(ServiceSettings(data=tmp_path), {}) as routers:
        paths = {getattr(route, "path", "") for router in routers for route in router.routes}
    assert len(paths) == 5
    assert {path for path in paths if f"`GET {path}`" not in reference} == set()
