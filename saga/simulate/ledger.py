"""One step's effect in a simulation: the guard's row and the outside world, packed into a small number.

The guard's row follows the rule of the guard: the first of effect, refusal and undo wins. `done` and
`undone` count what really happened; `barred` is the outside world's own tombstone.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache

from saga.invariants import StepEffects


class Row(IntEnum):
    """What the guard holds. `SHARED`: more than one attempt has announced an effect outside.

    `UNDOING`: the tombstone of an undo outside that may not have happened yet. `SKIP_NONE` and `SKIP_UNKNOWN`:
    refusals because somebody wants the step skipped. `KEPT`: its undo was given up.
    """

    NONE = 0
    INTENT = 1
    SHARED = 2
    EFFECT = 3
    REFUSED_NONE = 4
    REFUSED_UNKNOWN = 5
    UNDONE = 6
    UNDOING = 7
    SKIP_NONE = 8
    SKIP_UNKNOWN = 9
    KEPT = 10


@dataclass(frozen=True, slots=True)
class Ledger:
    """One step: its guard row, and what happened."""

    row: Row = Row.NONE
    done: int = 0
    undone: int = 0
    barred: bool = False

    def put(self, row: Row) -> "Ledger":
        return replace(self, row=row)

    def happened(self) -> "Ledger":
        return replace(self, done=min(3, self.done + 1))

    def reversed(self, *, bar: bool = True) -> "Ledger":
        """Undone: once by key, and barred if there was nothing yet."""
        if self.done > self.undone:
            return replace(self, undone=self.undone + 1)
        return self if self.undone else replace(self, barred=bar)

    def undone_again(self) -> "Ledger":
        """Undone by an undo that nothing guards."""
        return replace(self, undone=min(3, self.undone + 1))

    def pack(self) -> int:
        return self.row | self.done << 4 | self.undone << 6 | self.barred << 8

    @property
    def effects(self) -> StepEffects:
        return StepEffects(self.done, self.undone)


@lru_cache(maxsize=512)
def unpack(packed: int) -> Ledger:
    return Ledger(Row(packed & 15), packed >> 4 & 3, packed >> 6 & 3, bool(packed >> 8))
