"""The audit trail: what was done around every step, in blocks that hold the hash of the block before.

A chain per action. Whoever changes, removes, inserts or reorders anything breaks the chain from there on; with a key
(HMAC) nobody without it can mend it. The end of a chain can be cut off unseen, so heads are kept elsewhere
(`saga trail heads`) and the chain is put against them.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from contracts.facts import explain
from contracts.failure import InvalidContract

MAX_ENTRIES = 200
"""In one block"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrailEntry(_Frozen):
    """One stage of one attempt. The hashes are SHA-256 of the redacted data's canonical JSON; durations in ms."""

    at: AwareDatetime
    stage: str
    saga_id: str
    definition: str
    step: str
    attempt: int = Field(ge=1)
    user: str = ""
    session: str = ""
    dry_run: bool = False
    code: str = Field(default="", description="of the failure")
    input_hash: str = ""
    output_hash: str = ""
    duration_ms: float = 0.0


class TrailBlock(_Frozen):
    """Entries that were written together. `number` counts from 1 in its chain; `keyed`: the hash is an HMAC."""

    chain: str
    number: int = Field(ge=1)
    previous: str = ""
    entries: tuple[TrailEntry, ...]
    keyed: bool = False
    hash: str = ""

    def sealed(self, key: bytes) -> Self:
        """The block with its hash. An empty key makes a plain one."""
        block = self.model_copy(update={"keyed": bool(key), "hash": ""})
        return block.model_copy(update={"hash": block.hash_with(key)})

    def hash_with(self, key: bytes) -> str:
        """What its hash must be with this key, or without one if it is not keyed."""
        content = to_json(self.model_dump(mode="json", exclude={"hash"}))
        if self.keyed:
            return hmac.new(key, content, hashlib.sha256).hexdigest()
        return hashlib.sha256(content).hexdigest()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises InvalidContract with the place and the reason."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise InvalidContract(f"not a block of a trail: {explain(error)}") from error


def data_hash(data: Mapping[str, Any] | None) -> str:
    """The hash of JSON data; empty for none."""
    return hashlib.sha256(to_json(_sorted(from_json(to_json(data))))).hexdigest() if data is not None else ""


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest block of a chain at some time, kept elsewhere."""

    chain: str
    number: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """What is wrong with a chain, and at which block."""

    chain: str
    number: int
    reason: str


def verify(blocks: Iterable[TrailBlock], key: bytes = b"", heads: Iterable[Head] = ()) -> list[Break]:
    """Everything that is wrong with these blocks, given in the order they are stored; nothing if they stand.

    With a key a block without one is wrong, too: anybody could have written it.
    """
    breaks: list[Break] = []
    last: dict[str, TrailBlock] = {}
    found: dict[tuple[str, int], str] = {}
    for block in blocks:
        before = last.get(block.chain)
        breaks += [
            Break(chain=block.chain, number=block.number, reason=reason)
            for reason in _wrong(block, before, key)
        ]
        last[block.chain] = block
        found[block.chain, block.number] = block.hash
    for head in heads:
        present = found.get((head.chain, head.number))
        if present != head.hash:
            reason = (
                "is gone, but a head of it is known"
                if present is None
                else "is not the one a head is known of"
            )
            breaks.append(Break(chain=head.chain, number=head.number, reason=reason))
    return breaks


def _wrong(block: TrailBlock, before: TrailBlock | None, key: bytes) -> Iterable[str]:
    number, previous = (before.number + 1, before.hash) if before else (1, "")
    if block.number != number:
        yield f"expected block {number}"
    elif block.previous != previous:
        yield "does not follow the block before it"
    if block.keyed != bool(key):
        yield "has a key: give it" if block.keyed else "has no key, anybody can have written it"
    elif not hmac.compare_digest(block.hash, block.hash_with(key)):
        yield "was changed: its hash is not that of its content"
