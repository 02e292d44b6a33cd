"""The proof packet: a PDF that says what was claimed, by which evidence, and what was paid, each with its hash.

Pure: the same proof gives the same bytes, so its own hash proves it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of evidence: what it is, what it says, and the SHA-256 of its content."""

    what: str
    name: str
    says: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """Everything the packet says. `facts` and `money` are lines of a name and a value."""

    title: str
    facts: Sequence[tuple[str, str]]
    money: Sequence[tuple[str, str]]
    history: Sequence[tuple[datetime, str]]
    evidence: Sequence[Item]

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of the evidence, in order."""
        return hashlib.sha256("\n".join(item.sha256 for item in self.evidence).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Written:
    """A packet as it was written."""

    pdf: bytes
    pages: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.pdf).hexdigest()


def content_hash(content: Any) -> str:
    """SHA-256 of JSON data, whatever the order of its fields."""
    ordered = dict(sorted(content.items())) if isinstance(content, dict) else content
    return hashlib.sha256(to_json(ordered)).hexdigest()


def write(proof: Proof) -> Written:
    """The packet as a PDF."""
    # Slow to import, and seldom needed.
    from services.claims.packet_pdf import draw

    return draw(proof)
