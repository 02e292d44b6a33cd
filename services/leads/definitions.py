"""The workflow as it is shipped: the document, and the definitions it is compiled to."""

from pathlib import Path

import yaml

from contracts.workflows import Compiled, compile_workflow, parse_workflow

DOCUMENT = Path(__file__).parent / "submit-lead.yaml"


def compiled() -> Compiled:
    """The definitions of version 1. Raises InvalidDefinition if the document is wrong."""
    return compile_workflow(parse_workflow(yaml.safe_load(DOCUMENT.read_text())), "1")


_COMPILED = compiled()
SUBMIT_LEAD = _COMPILED.definition
DEFINITIONS = (*_COMPILED.children, SUBMIT_LEAD)
