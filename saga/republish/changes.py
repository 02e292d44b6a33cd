"""A recorded fact as it is played: under which ids, with which directives, sequences and time. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.directives import directives_of
from contracts.facts import Fact
from saga.exporting import renumbered

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is changed in facts. `ids`: new ids of sagas by their recorded ones. `effects`: whatever the fact says of a
    dry run stands; without it, every fact says that its saga runs dry."""

    ids: Mapping[str, str] = field(default_factory=dict)
    effects: bool = False

    def of(self, fact: Fact, sequences: Mapping[int, int], time: datetime | None = None) -> Fact:
        """The fact as it is played, at another `time` if one is given. Raises InvalidContract (its directives)."""
        update: dict[str, Any] = {"time": time or fact.time, "directives": self.directives(fact)}
        if self.ids:
            update |= {
                "sagaid": self.id(fact.sagaid),
                "correlationid": self.id(fact.correlationid),
                "id": self.fact_id(fact.id),
                "causationid": self.fact_id(fact.causationid),
                "data": self._data(fact.data),
            }
        return renumbered(fact.model_copy(update=update), sequences)

    def directives(self, fact: Fact) -> str:
        """Those that the played fact carries. Raises InvalidContract if there is one that is not known here."""
        told = directives_of(fact.directives)
        text = fact.directives if self.effects else told.model_copy(update={"dry_run": True}).encode()
        # A redrive says of which saga.
        return str(self._data(text))

    def id(self, saga_id: str) -> str:
        """The id under which a saga is played."""
        return self.ids.get(saga_id, saga_id)

    def fact_id(self, fact_id: str) -> str:
        """The id under which a fact is played: derived from its saga's, which has no dots."""
        saga_id, dot, rest = fact_id.partition(".")
        return self.id(saga_id) + dot + rest

    def _data(self, value: Any) -> Any:
        """With every id that we have made; what else names a saga may be a number of somebody's order."""
        match value:
            case dict():
                return {key: self._data(inner) for key, inner in value.items()}
            case list():
                return [self._data(inner) for inner in value]
            case str():
                return _UUID.sub(lambda found: self.id(found[0]), value)
            case _:
                return value
