"""Small workflows that several test files use."""

from typing import Any

from contracts.workflows import Workflow
from saga.workflows.checking import read_workflow


def document(name: str = "orders", source: str = "${input.value}", **fields: Any) -> dict[str, Any]:
    """A workflow of one step; `source` tells versions apart."""
    return {
        "name": name,
        "steps": [{"name": "work", "type": "ACTION", "action": "test.work", "input": {"value": source}}],
        **fields,
    }


def workflow(name: str = "orders", source: str = "${input.value}", **fields: Any) -> Workflow:
    return read_workflow(document(name, source, **fields))
