"""The code of the guide to Argo runs, and what it makes can be exported."""

from saga.export.argo import export
from saga.export.argo_lint import lint
from tests.docs.test_docs import ROOT, blocks


def test_the_code_of_the_guide_makes_a_definition_that_can_be_exported() -> None:
    (code,) = blocks(ROOT / "docs/guides/argo.md", "python")
    names: dict[str, object] = {}
    exec(compile(code, "argo.md", "exec"), names)
    made = export(names["definition"], {})  # type: ignore[arg-type]
    assert lint(made.manifest) == []
