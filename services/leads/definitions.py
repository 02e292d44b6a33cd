"""The workflow as it is shipped: the document, the definitions it is compiled to, and what starts it."""

from pathlib import Path

import yaml

from contracts.triggers import Trigger, parse_trigger
from contracts.workflows import Compiled, compile_workflow, parse_workflow

DOCUMENT = Path(__file__).parent / "submit-lead.yaml"
TRIGGER = Path(__file__).parent / "on-lead-qualified.yaml"


def compiled() -> Compiled:
    """The definitions of version 1. Raises InvalidDefinition if the document is wrong."""
    return compile_workflow(parse_workflow(yaml.safe_load(DOCUMENT.read_text())), "1")


def trigger() -> Trigger:
    """What starts it when a lead is qualified. Raises InvalidTrigger if the document is wrong."""
    return parse_trigger(yaml.safe_load(TRIGGER.read_text()))


_COMPILED = compiled()
SUBMIT_LEAD = _COMPILED.definition
DEFINITIONS = (*_COMPILED.children, SUBMIT_LEAD)
